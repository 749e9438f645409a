//! A hostile bridge, which has the pin of its conf, against a client: what the client needs and prints, and that it ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::KEY;
use super::load::Load;
use super::memory::Watch;
use super::table::{Limit, Table, Value};
use super::{Scene, guarded};
use crate::failure::{Result, While, failure};
use crate::run::step;

/// What the bridges do (benches/programs/load/hostile_bridge.rs), and what the client runs.
const KINDS: [(&str, &[&str]); 15] = [
    ("no-handshake", &["print", KEY]),
    ("no-upgrade", &["print", KEY]),
    ("headers", &["print", KEY]),
    ("no-welcome", &["print", KEY]),
    ("waiting", &["print", KEY]),
    ("pings", &["print", KEY]),
    ("fragments", &["print", KEY]),
    ("frame", &["print", KEY]),
    ("welcomes", &["print", KEY]),
    ("length", &["print", KEY]),
    ("chunks", &["exec", "--leaks=off", "-e", KEY, "--", "true"]),
    ("refusals", &["exec", "--leaks=off", "-e", KEY, "-e", "OTHER", "--", "true"]),
    ("identities", &["exec", "--leaks=off", "--ssh", "--", "sleep", "5"]),
    ("answers", &["exec", "--leaks=off", "--ssh", "--", "sleep", "5"]),
    ("breaks", &["print", KEY]),
];
/// Memory of a client. One that prints 100 MB from an honest bridge needs 5 MB.
const MEMORY: u64 = 16_000_000;
/// Bytes that a client prints to the build's log.
const PRINTED: u64 = 16_000;
/// Time for a client to end: longer than any of its own waits.
const PATIENCE: Duration = Duration::from_secs(150);

/// The same in the short form, but for [`PATIENT`].
const SHORT_PATIENCE: Duration = Duration::from_secs(20);
/// Bridges for which a client waits longer.
const PATIENT: [&str; 3] = ["no-welcome", "waiting", "pings"];

/// A client of one hostile bridge.
struct Victim {
    kind: &'static str,
    process: Child,
    memory: Watch,
    log: PathBuf,
    ended: Option<(ExitStatus, Instant)>,
    _bridge: Load,
}

pub(super) fn attack(scene: &Scene, table: &mut Table) -> Result<()> {
    let kinds: Vec<_> =
        KINDS.into_iter().filter(|(kind, _)| scene.includes(&format!("{kind}, hostile bridge"))).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    step("hostile bridges, all at once");
    let began = Instant::now();
    let victims =
        kinds.into_iter().map(|(kind, command)| victim(scene, kind, command)).collect::<Result<Vec<_>>>()?;
    let limit = if scene.short { SHORT_PATIENCE } else { PATIENCE };
    let (mut memory, mut printed, mut endless) = (0, 0, 0);
    for mut victim in wait_for(victims, began + limit)? {
        let text = fs::read(&victim.log).while_doing("read the messages of a client")?;
        let outcome = match victim.ended {
            Some((status, after)) => format!("{status} after {:.1} s", (after - began).as_secs_f64()),
            None => {
                let _ = (victim.process.kill(), victim.process.wait());
                // It waits for a bridge that is silent: that it ends is seen in the long form.
                endless += u64::from(!scene.short || !PATIENT.contains(&victim.kind));
                "did not end".to_owned()
            }
        };
        let peak = victim.memory.end();
        let said = String::from_utf8_lossy(&text);
        let last = said.lines().rfind(|line| line.starts_with("secrets-bridge: ")).unwrap_or_default();
        eprintln!("    {}: {}, {outcome}: {last:.120}", victim.kind, Value::Bytes(peak));
        memory = memory.max(peak);
        printed = printed.max(text.len() as u64);
    }
    let figure = |what: &str| format!("client of a hostile bridge, any of {}: {what}", KINDS.len());
    table.limited(figure("memory"), Value::Bytes(memory), Limit::AtMost(Value::Bytes(MEMORY)));
    table.limited(figure("messages"), Value::Bytes(printed), Limit::AtMost(Value::Bytes(PRINTED)));
    table.limited(
        figure(&format!("not ended after {} s", limit.as_secs())),
        Value::Count(endless),
        Limit::AtMost(Value::Count(0)),
    );
    Ok(())
}

/// Waits until all clients have ended, but not longer than until `deadline`.
fn wait_for(mut victims: Vec<Victim>, deadline: Instant) -> Result<Vec<Victim>> {
    while victims.iter().any(|victim| victim.ended.is_none()) && Instant::now() < deadline {
        for victim in victims.iter_mut().filter(|victim| victim.ended.is_none()) {
            let status = victim.process.try_wait().while_doing("wait for a client")?;
            victim.ended = status.map(|status| (status, Instant::now()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(victims)
}

fn victim(scene: &Scene, kind: &'static str, command: &[&str]) -> Result<Victim> {
    let bridge = Load::start(scene, &format!("hostile-bridge {kind}"), "")?;
    let line = bridge.line()?;
    let conf = line["conf"].as_str().ok_or_else(|| failure!("the hostile bridge printed no conf"))?;
    let log = scene.dir.path().join(format!("client-{kind}"));
    let process = guarded(scene.cpus.bridge, &scene.binary)
        .args(command)
        .clean_env()
        .env("BRIDGE_CONF", conf)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .log(&log)?
        .output(Stdio::null())
        .spawn()?;
    let memory = Watch::begin(process.id());
    Ok(Victim { kind, process, memory, log, ended: None, _bridge: bridge })
}
