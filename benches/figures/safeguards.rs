//! The cost of masking COMMAND's output and of the leak check.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::measure::{median, median_time, pairs};
use crate::programs::{Bridge, Programs, run};
use crate::table::{Table, Value};
use crate::{LARGE, LOOPBACK, Result, ms};

/// Bytes that COMMAND prints.
const OUTPUT: usize = 1_000_000_000;
/// Files in the image that the leak check walks through.
const FILES: usize = 100_000;
/// As in `node_modules`, `site-packages` and `/usr`.
const FILES_IN_A_DIRECTORY: usize = 10;

/// Masks 1 GB of output, which is read from a pipe as a builder does.
pub(crate) fn masking(programs: &Programs, large: &Path, table: &mut Table) -> Result<()> {
    let token = "TOKEN=npm_0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--secret", token])?;
    let lines = large.with_file_name("lines");
    write_lines(large, &lines)?;
    let read = |mut command: Command| -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let bytes = io::copy(&mut child.stdout.take().ok_or("no pipe")?, &mut io::sink())?;
        let status = child.wait()?;
        if status.success() && bytes == OUTPUT as u64 { Ok(()) } else { Err("output is missing".into()) }
    };
    for (what, path) in [("random bytes", large), ("lines of base64", &lines)] {
        let paths = || std::iter::repeat_n(path, OUTPUT / LARGE);
        let cat = || {
            let mut cat = Command::new("cat");
            cat.args(paths());
            cat
        };
        let plain = median_time(5, || read(cat()))?;
        let masked = median_time(5, || read(programs.exec_masked(&bridge.conf, paths())))?;
        table.limited(format!("masking 1 GB of COMMAND's output: {what}"), ms(3333.0), Value::Time(masked));
        table.noted("COMMAND alone", Value::Time(plain));
    }
    Ok(())
}

/// The time that the leak check adds to a step that changes none of 100,000 files. With layers, each step has a freshly
/// mounted overlay, as in a build.
pub(crate) fn leak_check(programs: &Programs, home: &Path, table: &mut Table) -> Result<()> {
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--secret", "TOKEN=a secret to look for"])?;
    let layers = home.join("layers");
    for number in 0..FILES / FILES_IN_A_DIRECTORY {
        let directory = layers.join(format!("lower/usr/lib/{}/package-{number}", number / 100));
        fs::create_dir_all(&directory)?;
        for number in 0..FILES_IN_A_DIRECTORY {
            fs::write(directory.join(format!("module-{number}.js")), "exports = 1;\n")?;
        }
    }
    fs::copy(&programs.client, layers.join("lower/secrets-bridge"))?;
    // As in a build, the upper layer is younger than the lower one.
    for name in ["upper", "work", "merged"] {
        fs::create_dir(layers.join(name))?;
    }
    for (root, what) in [("merged", "overlay root"), ("lower", "root without layers")] {
        let step = |leaks: &str| run(programs.step(&bridge.conf, &layers, root, leaks));
        if let Err(error) = step("--leaks=off") {
            eprintln!("left out: cannot mount the root: {error}");
            continue;
        }
        let times = pairs(15, || step("--leaks=fail"), || step("--leaks=off"))?;
        let added = median(times.iter().map(|(with, without)| with.saturating_sub(*without)));
        let figure = format!("leak check of 100,000 files, added to a step: {what}");
        table.limited(figure, ms(400.0), Value::Time(added));
    }
    Ok(())
}

/// Writes as many bytes as `from` has, as lines of base64's alphabet.
fn write_lines(from: &Path, to: &Path) -> Result<()> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = fs::read(from)?;
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = if at % 77 == 76 { b'\n' } else { ALPHABET[usize::from(*byte % 64)] };
    }
    Ok(fs::File::create(to)?.write_all(&bytes)?)
}
