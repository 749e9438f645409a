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
        let ratio = masked.as_secs_f64() / plain.as_secs_f64();
        table.limited("ratio of masking to that", Value::Ratio(2.5), Value::Ratio(ratio));
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
        // In an overlay only the upper layer is walked.
        let limit = if root == "merged" { 5.0 } else { 400.0 };
        table.limited(figure, ms(limit), Value::Time(added));
    }
    Ok(())
}

/// The leak check of a step that wrote 1 GB in 20,000 files, a tenth of it compressed, against `grep -rF` of one secret, which
/// does not unpack anything.
pub(crate) fn leak_check_of_written(programs: &Programs, home: &Path, table: &mut Table) -> Result<()> {
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--secret", "TOKEN=a secret to look for"])?;
    let root = home.join("written");
    for number in 0..WRITTEN {
        let directory = root.join(format!("files/{}", number / FILES_IN_A_DIRECTORY));
        fs::create_dir_all(&directory)?;
        let file = directory.join(number.to_string());
        match number % 20 {
            0 => fs::write(file, gzip(&source(number, SIZE * PACKED)?)?)?,
            1 => fs::write(file, zip(&source(number, SIZE * PACKED)?)?)?,
            _ => fs::write(file, source(number, SIZE)?)?,
        }
    }
    fs::copy(&programs.client, root.join("secrets-bridge"))?;
    let step = |leaks: &str| run(programs.changing_step(&bridge.conf, &root, leaks));
    let grep = || {
        let mut grep = Command::new("sh");
        grep.args(["-c", "! grep -rF 'a secret to look for' files"]).current_dir(&root);
        run(grep)
    };
    if let Err(error) = step("--leaks=off") {
        eprintln!("left out: cannot mount the root: {error}");
        return Ok(());
    }
    let mut greps = Vec::new();
    let times = pairs(
        5,
        || step("--leaks=fail"),
        || {
            greps.push(median_time(1, grep)?);
            step("--leaks=off")
        },
    )?;
    // The time of grep is in that of the second step.
    let added = times
        .iter()
        .zip(greps.iter().skip(1))
        .map(|((with, without), grep)| with.saturating_sub(without.saturating_sub(*grep)));
    let (added, grep) = (median(added), median(greps.iter().copied()));
    table.noted("leak check of 1 GB in 20,000 files, 100 MB of it gzip and zip", Value::Time(added));
    table.noted("`grep -rF` of one secret in them", Value::Time(grep));
    table.limited(
        "ratio of the leak check to that",
        Value::Ratio(2.0),
        Value::Ratio(added.as_secs_f64() / grep.as_secs_f64()),
    );
    Ok(())
}

/// Files of a step that writes much, and bytes of each.
const WRITTEN: usize = 20_000;
const SIZE: usize = 50_000;
/// How many times as long the text is from which [`gzip`] and [`zip`] make [`SIZE`] bytes.
const PACKED: usize = 4;

/// Text that packs as source code does, another for each `number`.
fn source(number: usize, length: usize) -> Result<Vec<u8>> {
    let mut random = number as u64 * 2 + 1;
    let mut text = Vec::with_capacity(length + 100);
    while text.len() < length {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (a, b, c) = (random >> 24, random & 0xffff, random & 63);
        writeln!(text, "    let value_{b} = module.function_{}(argument_{c}, \"{a:x}\");", a % 1000)?;
    }
    text.truncate(length);
    Ok(text)
}

fn gzip(text: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text)?;
    Ok(encoder.finish()?)
}

/// An archive of ten entries, as far as its local headers go.
fn zip(text: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (number, part) in text.chunks(text.len().div_ceil(10)).enumerate() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(part)?;
        // A deflated entry of which the sizes follow, with a name of one character.
        archive.extend_from_slice(b"PK\x03\x04\x14\0\x08\0\x08\0");
        archive.extend_from_slice(&[0; 16]);
        archive.extend_from_slice(&[1, 0, 0, 0, b'0' + u8::try_from(number)?]);
        archive.extend_from_slice(&encoder.finish()?);
        archive.extend_from_slice(b"PK\x07\x08............");
    }
    Ok(archive)
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
