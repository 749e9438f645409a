//! The cost of `scan`: an image of four gzip layers, against `gzip -dc` of the same layers.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Result;
use crate::measure::{median, pairs};
use crate::programs::{Programs, run, run_for_memory};
use crate::table::{Table, Value};

const LAYERS: usize = 4;
/// Bytes of a layer, unpacked.
const LAYER: usize = 250_000_000;

/// Scans the image from a file, and through a pipe from `cat`.
pub(crate) fn scan(programs: &Programs, home: &Path, table: &mut Table) -> Result<()> {
    let directory = home.join("image");
    fs::create_dir(&directory)?;
    let (archive, layers) = write_image(&programs.full, &directory)?;
    let command = |image: &Path| programs.scan(image);
    let from_file = || run(command(&archive));
    let from_stdin = || -> Result<()> {
        let mut cat = Command::new("cat").arg(&archive).stdout(Stdio::piped()).spawn()?;
        let mut scan = command(Path::new("-"));
        scan.stdin(cat.stdout.take().ok_or("no pipe")?);
        run(scan)?;
        Ok(_ = cat.wait()?)
    };
    let gzip = || {
        layers.iter().try_for_each(|layer| {
            let mut gzip = Command::new("gzip");
            gzip.args(["-d", "-c"]).arg(layer).stdout(Stdio::null());
            run(gzip)
        })
    };
    for (what, limit, times) in
        [("a file", 0.8, pairs(5, from_file, gzip)?), ("standard input", 1.1, pairs(5, from_stdin, gzip)?)]
    {
        let ratio = median(times.iter().map(|(scan, gzip)| scan.as_secs_f64() / gzip.as_secs_f64()));
        table.noted(
            format!("`scan` of 1 GB in {LAYERS} gzip layers, from {what}"),
            Value::Time(median(times.iter().map(|(scan, _)| *scan))),
        );
        let figure = "ratio of that to `gzip -dc` of the layers, one after the other";
        table.limited(figure, Value::Ratio(limit), Value::Ratio(ratio));
    }
    let memory = run_for_memory(command(&archive))?;
    table.limited(
        "`scan` of that image from a file: peak memory",
        Value::Megabytes(64.0),
        Value::Megabytes(memory as f64 / 1e6),
    );
    fs::remove_dir_all(directory)?;
    Ok(())
}

/// An archive in the OCI layout, and its layers. What is in them compresses as programs do: it is our own binary, changed a
/// little each time, so that no layer repeats what a decoder has in its window.
fn write_image(program: &Path, directory: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut program = fs::read(program)?;
    let mut archive = tar::Builder::new(File::create(directory.join("image.tar"))?);
    let mut add = |name: &str, content: &[u8]| -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content)
    };
    let named = |content: &[u8]| -> String {
        digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (mut paths, mut descriptors) = (Vec::new(), Vec::new());
    for layer in 0..LAYERS {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for number in 0..LAYER / program.len() {
            for at in (number..program.len()).step_by(4099) {
                program[at] = program[at].wrapping_add(1);
            }
            let mut header = tar::Header::new_ustar();
            header.set_size(program.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, format!("usr/bin/program-{layer}-{number}"), program.as_slice())?;
        }
        let packed = tar.into_inner()?.finish()?;
        let name = named(&packed);
        add(&format!("blobs/sha256/{name}"), &packed)?;
        descriptors.push(format!(r#"{{"digest":"sha256:{name}"}}"#));
        let path = directory.join(format!("layer-{layer}.gz"));
        File::create(&path)?.write_all(&packed)?;
        paths.push(path);
    }
    let config = r#"{"rootfs":{"type":"layers"}}"#.as_bytes();
    let layers = descriptors.join(",");
    let manifest = format!(r#"{{"config":{{"digest":"sha256:{}"}},"layers":[{layers}]}}"#, named(config));
    let index = format!(r#"{{"manifests":[{{"digest":"sha256:{}"}}]}}"#, named(manifest.as_bytes()));
    add(&format!("blobs/sha256/{}", named(config)), config)?;
    add(&format!("blobs/sha256/{}", named(manifest.as_bytes())), manifest.as_bytes())?;
    add("index.json", index.as_bytes())?;
    archive.finish()?;
    Ok((directory.join("image.tar"), paths))
}
