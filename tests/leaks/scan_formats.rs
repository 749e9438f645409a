//! `scan`: an image in every format that image tools write, by these tools.
#![cfg(feature = "host")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::scan_image::*;
use crate::support::require::{BUILDAH, COMPRESSORS, ROOT, SKOPEO, require};
use crate::support::{Home, Start as _};

/// An image with the secret in a file of its second layer, which the third deletes.
fn leaking_and_deleted() -> Image {
    let mut image = leaking();
    image.layers[2] = tar(&[("app/.wh..npmrc", b"")]);
    image.with_diff_ids()
}

/// Scans `path`, and if it is a file also from standard input.
fn finds_the_leak(home: &Home, path: &Path) {
    // Docker's first format has a layer for each instruction, also for those that changed no file.
    let (number, of) = if path.to_string_lossy().ends_with("v2s1") { (3, 4) } else { (2, 3) };
    let place = format!("layer {number} of {of}");
    let deleted = format!(": app/.npmrc: TOKEN (raw); deleted in layer {of}, but still in the image");
    let whole = || home.command(["scan", "--secret", SECRET]).arg(path).outcome();
    let mut outcomes = vec![whole()];
    if path.is_file() {
        outcomes.push(home.command(["scan", "--secret", SECRET, "-"]).outcome_with(fs::read(path).unwrap()));
    }
    for outcome in outcomes {
        let outcome = outcome.exits_with(1).says(&format!("images: 1, layers: {of}"));
        let text = outcome.text();
        assert_eq!(text.lines().count(), 1, "{}: {text}", path.display());
        for part in [&place, &deleted] {
            assert!(text.contains(part), "{}: no {part:?} in {text}", path.display());
        }
    }
}

/// Options of `copy` or `push`, and where the image is written.
type Layout = (&'static [&'static str], &'static str);

fn runs(home: &Home, program: &str, args: &[&str]) {
    home.program(program, args).outcome().succeeds();
}

/// The output of `program` for an input.
fn through(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input");
    fs::write(&file, input).unwrap();
    let mut command = Command::new(program);
    let output =
        command.args(args).stdin(fs::File::open(file).unwrap()).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

/// Every compressor that engines read the output of.
const COMPRESS: [Pack; 12] = [
    |bytes| through("gzip", &["-c"], bytes),
    |bytes| through("pigz", &["-c", "-b", "128", "-i"], bytes),
    // A member of its own for each half.
    |bytes| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [through("gzip", &["-c", "-1"], first), through("gzip", &["-c"], second)].concat()
    },
    |bytes| through("zstd", &["-c"], bytes),
    |bytes| through("zstd", &["-c", "--ultra", "-20", "--no-check"], bytes),
    |bytes| through("zstd", &["-c", "--long=26"], bytes),
    // A skippable frame comes before each frame.
    |bytes| through("pzstd", &["-c", "-p", "4"], bytes),
    |bytes| through("xz", &["-c"], bytes),
    |bytes| through("xz", &["-c", "-9", "--check=sha256"], bytes),
    |bytes| through("xz", &["-c", "-T2", "--block-size=100KiB"], bytes),
    |bytes| through("bzip2", &["-c"], bytes),
    |bytes| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [through("bzip2", &["-c", "-1"], first), through("bzip2", &["-c"], second)].concat()
    },
];

#[test]
fn layers_of_every_compressor_are_read() {
    require!(COMPRESSORS);
    let home = Home::new();
    let image = leaking_and_deleted();
    for (index, pack) in COMPRESS.iter().enumerate() {
        let path = home.file(&format!("{index}.tar"), image.oci(*pack));
        finds_the_leak(&home, &path);
        let path = home.file(&format!("whole-{index}"), pack(&image.docker()));
        finds_the_leak(&home, &path);
    }
}

#[test]
fn what_other_compressors_write_is_never_clean() {
    require!(COMPRESSORS);
    let clean = Image::of([tar(&[("etc/motd", b"hello")])]);
    let home = Home::new();
    let others: [(&str, Pack); 3] = [
        ("lz4", |bytes| through("lz4", &["-c"], bytes)),
        ("lzma", |bytes| through("xz", &["-c", "--format=lzma"], bytes)),
        ("looks like", |bytes| [b"hsqs", bytes].concat()),
    ];
    for (says, pack) in others {
        let path = home.file("image.tar", clean.oci(pack));
        let outcome = home.command(["scan", "--secret", SECRET]).arg(&path).outcome();
        outcome.exits_with(125).says("cannot search layer 1 of 1").says("is not a tar archive").says(says);
        let path = home.file("image.tar", pack(&clean.docker()));
        home.command(["scan", "--secret", SECRET]).arg(&path).outcome().exits_with(125);
    }
}

#[test]
fn what_skopeo_writes_is_read() {
    require!(SKOPEO);
    let home = Home::new();
    home.file("image.tar", leaking_and_deleted().legacy());
    let copy = |options: &[&str], to: &str| -> PathBuf {
        let fixed = ["--insecure-policy", "copy", "--quiet"];
        runs(&home, "skopeo", &[&fixed[..], options, &["docker-archive:image.tar", to]].concat());
        home.path(to.split(':').nth(1).unwrap())
    };
    let layouts: [Layout; 14] = [
        (&[], "docker-archive:docker.tar:app:1"),
        (&[], "oci-archive:oci.tar:app:1"),
        (&[], "oci:oci:app:1"),
        (&["--dest-oci-accept-uncompressed-layers"], "oci:oci-plain:app:1"),
        (&["--dest-compress-format", "zstd"], "oci:oci-zstd:app:1"),
        (&["--dest-compress-format", "zstd", "--dest-compress-level", "20"], "oci:oci-zstd-20:app:1"),
        (&["--dest-compress-format", "zstd:chunked"], "oci:oci-chunked:app:1"),
        (&["--dest-compress-format", "zstd:chunked"], "oci-archive:oci-chunked.tar:app:1"),
        (&[], "dir:dir"),
        (&["--dest-compress"], "dir:dir-gzip"),
        (
            &["--dest-compress", "--dest-compress-format", "zstd:chunked", "--format", "oci"],
            "dir:dir-chunked",
        ),
        (&["--format", "v2s1"], "dir:dir-v2s1"),
        (&["--format", "v2s2"], "dir:dir-v2s2"),
        (&["--format", "oci"], "dir:dir-oci"),
    ];
    for (options, to) in layouts {
        finds_the_leak(&home, &copy(options, to));
    }
}

#[test]
fn an_encrypted_layer_is_never_clean() {
    require!(SKOPEO);
    let home = Home::new();
    home.file("image.tar", Image::of([tar(&[("etc/motd", b"hello")])]).with_diff_ids().legacy());
    runs(&home, "openssl", &["genrsa", "-out", "key.pem", "2048"]);
    runs(&home, "openssl", &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let options = ["--insecure-policy", "copy", "--quiet", "--encryption-key", "jwe:public.pem"];
    for (to, path) in
        [("oci:layout:app:1", "layout"), ("oci-archive:image-encrypted.tar:app:1", "image-encrypted.tar")]
    {
        runs(&home, "skopeo", &[&options[..], &["docker-archive:image.tar", to]].concat());
        let outcome = home.command(["scan", "--secret", SECRET, path]).outcome();
        outcome.exits_with(125).says("cannot search layer 1 of 1").says("it is encrypted");
    }
}

#[test]
fn what_buildah_pushes_is_read() {
    require!(ROOT, BUILDAH);
    let home = Home::new();
    home.file("image.tar", leaking_and_deleted().legacy());
    let buildah = |args: &[&str]| {
        let root = ["--storage-driver", "vfs", "--root", "root", "--runroot", "runroot"];
        runs(&home, "buildah", &[&root[..], args].concat());
    };
    home.file("policy.json", json!({ "default": [{ "type": "insecureAcceptAnything" }] }).to_string());
    buildah(&["pull", "--quiet", "--signature-policy", "policy.json", "docker-archive:image.tar"]);
    let layouts: [Layout; 8] = [
        (&[], "docker-archive:docker.tar:app:1"),
        (&[], "oci-archive:oci.tar:app:1"),
        (&["--compression-format", "zstd"], "oci-archive:oci-zstd.tar:app:1"),
        (&["--compression-format", "zstd:chunked"], "oci:oci-chunked:app:1"),
        (&["--disable-compression"], "oci:oci-plain:app:1"),
        (&[], "dir:dir"),
        (&["--format", "v2s1"], "dir:dir-v2s1"),
        (&["--format", "oci"], "dir:dir-oci"),
    ];
    for (options, to) in layouts {
        let fixed = ["push", "--quiet", "--signature-policy", "policy.json"];
        buildah(&[&fixed[..], options, &["localhost/app:1", to]].concat());
        finds_the_leak(&home, &home.path(to.split(':').nth(1).unwrap()));
    }
}
