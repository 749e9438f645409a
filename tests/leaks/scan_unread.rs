//! `scan`: what was not read as what it is, is never clean.
#![cfg(feature = "host")]

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::scan_image::*;
use crate::support::{Home, Outcome, Start as _};

/// Scans an archive from a file and from standard input, with one outcome.
fn scan(bytes: &[u8]) -> Outcome {
    let home = Home::new();
    home.file("image.tar", bytes);
    let from_file = home.command(["scan", "--secret", SECRET, "image.tar"]).outcome();
    let from_stdin = home.command(["scan", "--secret", SECRET, "-"]).outcome_with(bytes);
    assert_eq!(from_file.code(), from_stdin.code(), "{}\n{}", from_file.stderr, from_stdin.stderr);
    from_file
}

fn clean() -> Image {
    Image::of([tar(&[("etc/motd", b"hello")]), tar(&[("etc/issue", b"hello")])])
}

/// The archive of an image in the OCI layout: `change` may change its manifest, and adds blobs.
fn changed(image: &Image, change: impl FnOnce(&mut Value, &mut Vec<Vec<u8>>)) -> Vec<u8> {
    let descriptor = |content: &[u8]| json!({ "digest": format!("sha256:{}", digest(content)) });
    let mut blobs: Vec<Vec<u8>> = image.layers.clone();
    let layers: Vec<Value> = blobs.iter().map(|layer| descriptor(layer)).collect();
    let config = image.config.to_string().into_bytes();
    let mut manifest = json!({ "config": descriptor(&config), "layers": layers });
    blobs.push(config);
    change(&mut manifest, &mut blobs);
    let manifest = manifest.to_string().into_bytes();
    let index = json!({ "manifests": [descriptor(&manifest)] });
    blobs.push(manifest);
    let named = |blob: Vec<u8>| (format!("blobs/sha256/{}", digest(&blob)), blob);
    let mut files: Vec<(String, Vec<u8>)> = blobs.into_iter().map(named).collect();
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    archive(&files)
}

/// Replaces the second layer of a clean image by `layer`.
fn with_layer(layer: &[u8], media_type: Option<&str>) -> Vec<u8> {
    changed(&clean(), |manifest, blobs| {
        blobs[1] = layer.to_vec();
        manifest["layers"][1] = json!({ "digest": format!("sha256:{}", digest(layer)) });
        if let Some(media_type) = media_type {
            manifest["layers"][1]["mediaType"] = json!(media_type);
        }
    })
}

/// A layer, its media type, and what is said of it.
type Case<'c> = (&'c [u8], Option<&'c str>, &'c str);

#[test]
fn a_layer_that_is_no_tar_archive_is_never_clean() {
    let layer = &clean().layers[1];
    scan(&with_layer(layer, None)).succeeds();
    let flipped = {
        let mut layer = layer.clone();
        layer[150] ^= 1;
        layer
    };
    let random: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    let cases: [Case; 16] = [
        (&gzip(&gzip(layer)), None, "compressed twice (gzip in gzip)"),
        (&gzip(&zstd(layer)), None, "compressed twice (zstd in gzip)"),
        (&gzip(b"no archive"), None, "is not a tar archive"),
        (b"no archive", None, "is not a tar archive"),
        (b"{}", None, "is not a tar archive"),
        (b"{\"a\": ", Some("application/vnd.oci.image.layer.v1.tar"), "is not a tar archive"),
        (&random, Some(encrypted), "it is encrypted"),
        (&gzip(layer)[..40], None, "it ends too early"),
        (&[&gzip(layer)[..], b"rest"].concat(), None, "it ends too early"),
        (&[&gzip(layer)[..], b"more of the rest"].concat(), None, "invalid gzip header"),
        (&layer[..700], None, "it ends too early"),
        (&flipped, None, "is not a tar archive"),
        (&[layer.get(..1024).unwrap(), &random[..1024]].concat(), None, "invalid tar header"),
        (&[&[0; 1024][..], &random].concat(), None, "begins as an empty tar archive"),
        (&[], Some("application/vnd.oci.image.layer.v1.tar"), ""),
        (b"\x28\xb5\x2f\xfd\x00\x58", None, "it ends too early"),
    ];
    for (layer, media_type, says) in cases {
        let outcome = scan(&with_layer(layer, media_type));
        if layer.is_empty() {
            // Its digest is that of no bytes, so it is as it should be.
            outcome.succeeds();
            continue;
        }
        outcome
            .exits_with(125)
            .says("cannot search layer 2 of 2 (sha256:")
            .says(says)
            .never_says("no secret found");
    }
}

#[test]
fn empty_layers_and_bytes_after_the_end_are_read() {
    let layer = clean().layers.remove(1);
    let member = tar(&[("etc/token", VALUE.as_bytes())]);
    for empty in [vec![0; 1024], gzip(&[0; 1024]), zstd(&[0; 10_240]), gzip(b"")] {
        scan(&with_layer(&empty, None)).succeeds().says("layers: 2");
    }
    scan(&with_layer(&[&layer[..], b"rest"].concat(), None)).succeeds();
    scan(&with_layer(&[&layer[..], VALUE.as_bytes()].concat(), None)).exits_with(1);
    let outcome = scan(&with_layer(&gzip(&[&layer[..], &member].concat()), None)).exits_with(1);
    assert!(outcome.text().contains(": etc/token: TOKEN"), "{}", outcome.text());
}

#[test]
fn bytes_beside_a_compressed_layer_are_searched() {
    let layer = clean().layers.remove(1);
    let length = u32::try_from(VALUE.len()).unwrap().to_le_bytes();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18], &length[..], VALUE.as_bytes()].concat();
    let table = zstd(VALUE.as_bytes());
    let table =
        [&[0x50, 0x2a, 0x4d, 0x18], &u32::try_from(table.len()).unwrap().to_le_bytes()[..], &table].concat();
    let named = {
        use std::io::Write as _;
        let mut encoder =
            flate2::GzBuilder::new().comment(VALUE).write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&layer).unwrap();
        encoder.finish().unwrap()
    };
    for packed in [[&skippable[..], &zstd(&layer)].concat(), [&zstd(&layer)[..], &table].concat(), named] {
        scan(&with_layer(&packed, None)).exits_with(1);
    }
}

#[test]
fn what_a_manifest_names_must_be_in_the_archive() {
    let other = format!("sha256:{}", digest(b"elsewhere"));
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for (pointer, descriptor, says) in [
        ("/layers/1", json!({ "digest": other }), "it is not in the archive"),
        ("/layers/1", json!({ "digest": other, "mediaType": foreign }), "forbids to distribute"),
        ("/layers/1", json!({ "mediaType": foreign }), "forbids to distribute"),
        ("/layers/0", json!({}), "it is not in the archive"),
        ("/config", json!({ "digest": other }), "it is not in the archive"),
    ] {
        let bytes = changed(&clean(), |manifest, _| *manifest.pointer_mut(pointer).unwrap() = descriptor);
        scan(&bytes).exits_with(125).says(says).never_says("no secret found");
    }
    // A foreign layer that is there is read as any other.
    scan(&with_layer(&gzip(&clean().layers[1]), Some(foreign))).succeeds();
}

#[test]
fn a_blob_that_looks_like_a_layer_is_read_though_nothing_names_it() {
    let unnamed = |blob: &[u8]| changed(&clean(), |_, blobs| blobs.push(blob.to_vec()));
    scan(&unnamed(&gzip(&clean().layers[0]))).succeeds();
    for blob in [&gzip(b"no archive")[..], b"encrypted", &clean().layers[0][..600]] {
        scan(&unnamed(blob)).exits_with(125).never_says("no secret found");
    }
}

#[test]
fn a_manifest_that_can_be_read_in_two_ways_is_never_clean() {
    let image = clean();
    let names = ["a/layer.tar", "b/layer.tar"];
    let archive_with = |manifest: &str| {
        tar(&[
            ("manifest.json", manifest.as_bytes()),
            ("c.json", b"{}"),
            (names[0], &image.layers[0]),
            (names[1], b"\x04\x22\x4d\x18 not read"),
        ])
    };
    let layers = r#""Layers":["a/layer.tar"]"#;
    for manifest in [
        format!(r#"[{{"Config":"c.json",{layers},"Layers":["b/layer.tar"]}}]"#),
        format!(r#"[{{"Config":"c.json",{layers},"layers":["b/layer.tar"]}}]"#),
        format!("[{{\"Config\":\"c.json\",{layers},\"Layer\u{17f}\":[\"b/layer.tar\"]}}]"),
        r#"[{"Config":"c.json","LAYERS":["b/layer.tar"]}]"#.to_owned(),
        format!(r#"[{{"Config":"c.json",{layers}}}"#),
        format!(r#"[{{"Config":"c.json",{layers}}}]{}"#, " ".repeat(1 << 20)),
    ] {
        scan(&archive_with(&manifest)).exits_with(125).never_says("no secret found");
    }
    // Two by one name: engines differ in which one they use.
    let again = |name: &str, content: &[u8]| {
        let mut files = image.oci_files(gzip);
        files.push((name.to_owned(), content.to_vec()));
        archive(&files)
    };
    scan(&again("index.json", b"{")).exits_with(125);
    scan(&again("manifest.json", br#"[{"Config":"x","Layers":["y"]}]"#))
        .exits_with(125)
        .says("it is not in the archive");
}

#[test]
fn a_blob_with_another_digest_is_never_clean() {
    let mut files = clean().oci_files(zstd);
    let layer = files.iter_mut().find(|(_, content)| content.starts_with(&[0x28, 0xb5])).unwrap();
    layer.1 = zstd(&tar(&[("etc/motd", b"other")]));
    scan(&archive(&files)).exits_with(125).says("does not have the digest in its name");
}

#[test]
fn attestations_are_searched_and_platforms_that_are_not_there_are_named() {
    let statement = json!({ "_type": "https://in-toto.io/Statement/v0.1", "predicate": { "env": "hello" } });
    let with = |statement: &Value| {
        let image = clean();
        let mut files = image.oci_files(gzip);
        let mut add = |content: Vec<u8>| {
            let digest = digest(&content);
            files.push((format!("blobs/sha256/{digest}"), content));
            json!({ "digest": format!("sha256:{digest}") })
        };
        let mut layer = add(statement.to_string().into_bytes());
        layer["mediaType"] = json!("application/vnd.in-toto+json");
        let config =
            add(json!({ "architecture": "unknown", "os": "unknown", "rootfs": {} }).to_string().into_bytes());
        let manifest = add(json!({ "config": config, "layers": [layer] }).to_string().into_bytes());
        let index = json!({ "manifests": [manifest] }).to_string().into_bytes();
        files.push((format!("blobs/sha256/{}", digest(&index)), index));
        archive(&files)
    };
    let outcome = scan(&with(&statement)).succeeds();
    outcome
        .says("images: 1, layers: 2, attestations: 1")
        .says("not in the archive, so not searched: linux/arm64 (sha256:");
    let mut leaking = statement.clone();
    leaking["predicate"]["env"] = json!(VALUE);
    let outcome = scan(&with(&leaking)).exits_with(1);
    assert!(outcome.text().contains("predicate.env"), "{}", outcome.text());
}

#[test]
fn unusual_entries_of_a_layer_are_searched() {
    let mut layers = Vec::new();
    // Kinds of entries: unknown ones, sparse files of GNU tar, and contents where others expect none.
    for kind in [b'0', b'7', b'S', b'V', b'M', b'D', b'A', b'Z'] {
        let mut header = tar::Header::new_gnu();
        header.set_path("etc/token").unwrap();
        header.set_size(VALUE.len() as u64);
        header.set_mode(0o644);
        header.as_mut_bytes()[156] = kind;
        header.set_cksum();
        let mut layer = header.as_bytes().to_vec();
        layer.extend_from_slice(VALUE.as_bytes());
        layer.resize(1024 + 1024, 0);
        layers.push(layer);
    }
    let mut sparse = tar::Builder::new(Vec::new());
    sparse
        .append_pax_extensions([
            ("GNU.sparse.major", &b"1"[..]),
            ("GNU.sparse.name", b"etc/token"),
            ("GNU.sparse.realsize", b"9999"),
        ])
        .unwrap();
    append(&mut sparse, "GNUSparseFile.0/token", format!("1\n0\n20\n{VALUE}").as_bytes());
    layers.push(sparse.into_inner().unwrap());
    for layer in layers {
        let outcome = scan(&with_layer(&layer, None)).exits_with(1);
        assert!(outcome.text().contains(": etc/token: TOKEN"), "{}", outcome.text());
    }
}

#[test]
fn a_directory_that_lacks_a_layer_is_never_clean() {
    let home = Home::new();
    let image = leaking();
    let files = image.oci_files(gzip);
    for (name, content) in &files {
        let path = home.path("layout").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let layer = home.path("layout/blobs/sha256").join(digest(&gzip(&image.layers[1])));
    fs::remove_file(&layer).unwrap();
    let scan = || home.command(["scan", "--secret", SECRET, "layout"]).outcome();
    scan().exits_with(125).says("cannot search layer 2 of 3");
    // A link may lead anywhere, so it is not followed.
    std::os::unix::fs::symlink("/etc/passwd", &layer).unwrap();
    scan().exits_with(125).says("cannot search layer 2 of 3");
}

/// A change of an archive.
#[derive(Debug, Clone)]
enum Change {
    Flip { at: usize, bit: u8 },
    Cut { at: usize, length: usize },
    Duplicate { at: usize, length: usize },
    Zeros { at: usize, length: usize },
    End { at: usize },
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let (at, length) = (0usize..1_000_000, 1usize..4);
        prop_oneof![
            (at.clone(), 0u8..8).prop_map(|(at, bit)| Self::Flip { at, bit }),
            (at.clone(), length.clone()).prop_map(|(at, length)| Self::Cut { at, length }),
            (at.clone(), length.clone()).prop_map(|(at, length)| Self::Duplicate { at, length }),
            (at.clone(), length).prop_map(|(at, length)| Self::Zeros { at, length }),
            at.prop_map(|at| Self::End { at }),
        ]
    }

    /// Lengths are blocks of 512 bytes, of which archives consist.
    fn apply(&self, bytes: &mut Vec<u8>) {
        let block = |at: usize| at % bytes.len() / 512 * 512;
        match *self {
            Self::Flip { at, bit } => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            Self::Cut { at, length } => {
                let at = block(at);
                bytes.drain(at..bytes.len().min(at + 512 * length));
            }
            Self::Duplicate { at, length } => {
                let at = block(at);
                let copy = bytes[at..bytes.len().min(at + 512 * length)].to_vec();
                bytes.splice(at..at, copy);
            }
            Self::Zeros { at, length } => {
                let at = block(at);
                let end = bytes.len().min(at + 512 * length);
                bytes[at..end].fill(0);
            }
            Self::End { at } => {
                let at = at % bytes.len();
                bytes.truncate(at);
            }
        }
    }
}

fn holds_value(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, VALUE.as_bytes()).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The secret of a damaged archive is found, or the exit code is 125, or the bytes of the secret are gone.
    #[test]
    fn a_damaged_archive_is_never_wrongly_clean(
        layout in 0usize..6,
        changes in prop::collection::vec(Change::any(), 1..4),
        order in any::<prop::sample::Index>(),
    ) {
        let layers = [
            tar(&[("bin/sh", &[7; 700])]),
            tar(&[("app/.npmrc", format!("token={VALUE}").as_bytes()), ("app/x", b"x")]),
        ];
        let image = Image::of(layers);
        let rotated = |mut files: Vec<(String, Vec<u8>)>| {
            let middle = order.index(files.len());
            files.rotate_left(middle);
            archive(&files)
        };
        let mut bytes = match layout {
            0 => image.legacy(),
            1 => image.docker(),
            2 => rotated(image.oci_files(gzip)),
            3 => rotated(image.oci_files(zstd)),
            4 => rotated(image.oci_files(plain)),
            _ => gzip(&image.docker()),
        };
        for change in &changes {
            change.apply(&mut bytes);
            prop_assume!(!bytes.is_empty());
        }
        let home = Home::new();
        home.file("image.tar", &bytes);
        let from_file = home.command(["scan", "--secret", SECRET, "image.tar"]).outcome();
        let from_stdin = home.command(["scan", "--secret", SECRET, "-"]).outcome_with(bytes.as_slice());
        for outcome in [from_file, from_stdin] {
            let is_plain = matches!(layout, 0 | 1 | 4);
            let is_gone = is_plain && !holds_value(&bytes);
            match outcome.code() {
                Some(1 | 125) => {}
                Some(0) => prop_assert!(is_gone, "{changes:?} of layout {layout}: {}", outcome.stderr),
                other => prop_assert!(false, "{other:?}: {}", outcome.stderr),
            }
        }
    }
}
