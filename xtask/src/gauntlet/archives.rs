//! Hostile image archives against `scan`: what it needs, and that it ends.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::memory::Watch;
use super::table::{Limit, Table, Value};
use super::{Scene, guarded};
use crate::failure::{Result, While};
use crate::run::{Run, step};

/// How the archives are hostile (benches/programs/load/archives.rs).
const KINDS: [&str; 25] = [
    "bomb",
    "double-bomb",
    "window",
    "nested-gzip",
    "nested-tar",
    "nested-json",
    "manifest",
    "blobs",
    "names",
    "extension",
    "size",
    "whiteouts",
    "circle",
    "zstd-bomb",
    "xz-bomb",
    "bzip2-bomb",
    "empty-streams",
    "empty-members",
    "dictionaries",
    "entries",
    "records",
    "shared-config",
    "objects",
    "lists",
    "documents",
];
/// Memory of a scan: the sum of the limits in image-scan/src/limits.rs, with its threads and the program itself.
const MEMORY: u64 = 96_000_000;
/// Time that any archive may take: the budget of image-scan/src/limits.rs, which is some two seconds, and a factor of two for
/// the machine.
const TIME_OF_ANY: Duration = Duration::from_secs(4);
/// Further time for each byte of the archive.
const NANOSECONDS_PER_BYTE: u64 = 250;
/// After this a scan counts as endless.
const PATIENCE: Duration = Duration::from_secs(60);
/// What `scan` ends with: nothing was found, a secret was found, not all could be searched.
const CODES: [i32; 4] = [0, 1, 2, 125];

pub(super) fn attack(scene: &Scene, table: &mut Table) -> Result<()> {
    let (mut memory, mut endless, mut crashed, mut scanned) = (0, 0, 0, 0);
    let mut beyond = Duration::ZERO;
    for kind in KINDS {
        let name = format!("{kind}, hostile archive");
        if !scene.includes(&name) {
            continue;
        }
        step(format_args!("scan: {name}"));
        let (file, log) = (scene.dir.path().join("archive"), scene.dir.path().join("scan"));
        Run::new(&scene.load).args(["archive", kind]).arg(&file).live()?;
        let size = fs::metadata(&file).while_doing("look at an archive")?.len();
        let justified = TIME_OF_ANY + Duration::from_nanos(size.saturating_mul(NANOSECONDS_PER_BYTE));
        let began = Instant::now();
        let mut process = guarded(scene.cpus.bridge, &scene.binary)
            .args(["scan", "--no-config", "--secret", "TOKEN=a small secret to look for"])
            .arg(&file)
            .log(&log)?
            .output(Stdio::null())
            .spawn()?;
        let watch = Watch::begin(process.id());
        let status = loop {
            match process.try_wait().while_doing("wait for a scan")? {
                Some(status) => break Some(status),
                None if began.elapsed() > PATIENCE => break None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let time = began.elapsed();
        beyond = beyond.max(time.saturating_sub(justified));
        if status.is_none() {
            let _ = (process.kill(), process.wait());
            endless += 1;
        }
        crashed +=
            u64::from(status.is_some_and(|status| !status.code().is_some_and(|code| CODES.contains(&code))));
        let peak = watch.end();
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().rfind(|line| line.starts_with("secrets-bridge: ")).unwrap_or_default();
        let (size, peak_shown) = (Value::Bytes(size), Value::Bytes(peak));
        eprintln!("    of {size}: {peak_shown}, {}, {status:?}: {last:.120}", Value::Time(time));
        memory = memory.max(peak);
        scanned += 1;
        let _ = fs::remove_file(&file);
    }
    if scanned == 0 {
        return Ok(());
    }
    let figure = |what: &str| format!("`scan` of a hostile archive, any of {scanned}: {what}");
    table.limited(figure("memory"), Value::Bytes(memory), Limit::AtMost(Value::Bytes(MEMORY)));
    let what =
        format!("time beyond {} s and {} ms for each MB of it", TIME_OF_ANY.as_secs(), NANOSECONDS_PER_BYTE);
    let none = Value::Time(Duration::ZERO);
    table.limited(figure(&what), Value::Time(beyond), Limit::AtMost(none));
    let none = Limit::AtMost(Value::Count(0));
    table.limited(figure(&format!("not ended after {} s", PATIENCE.as_secs())), Value::Count(endless), none);
    table.limited(figure("ended by a signal or an unknown code"), Value::Count(crashed), none);
    Ok(())
}
