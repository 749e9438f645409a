//! Image archives that are made to use up memory or time.

use std::fs::File;
use std::io::{BufWriter, Read, Write, empty, repeat};
use std::str::FromStr;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::Result;

/// How an archive is hostile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A layer of zeros: 1 GiB in 1 MB.
    Bomb,
    /// Such a layer, compressed a second time.
    DoubleBomb,
    /// A zstd layer that asks for the largest window.
    Window,
    /// gzip in gzip, 200 times.
    NestedGzip,
    /// A tar in a tar, 200 times.
    NestedTar,
    /// A manifest of lists in lists.
    NestedJson,
    /// A manifest of 200 MB.
    Manifest,
    /// More blobs than an image may have.
    Blobs,
    /// A layer whose entries have the longest names that pax headers allow.
    Names,
    /// An extension header of 8 GiB.
    Extension,
    /// An entry whose size is more than the archive has.
    Size,
    /// A layer of files and of whiteouts that each hide all of them.
    Whiteouts,
    /// Index files that name each other.
    Circle,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "bomb" => Self::Bomb,
            "double-bomb" => Self::DoubleBomb,
            "window" => Self::Window,
            "nested-gzip" => Self::NestedGzip,
            "nested-tar" => Self::NestedTar,
            "nested-json" => Self::NestedJson,
            "manifest" => Self::Manifest,
            "blobs" => Self::Blobs,
            "names" => Self::Names,
            "extension" => Self::Extension,
            "size" => Self::Size,
            "whiteouts" => Self::Whiteouts,
            "circle" => Self::Circle,
            _ => return Err(format!("unknown archive {name:?}")),
        })
    }
}

const BOMB: u64 = 1 << 30;
const DEPTH: usize = 200;
/// The magic number of zstd, and a frame header with the largest window: 2^41 bytes and 7 eighths of it (RFC 8878, 3.1.1).
const LARGEST_WINDOW: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff];

/// Writes the archive to `file`.
pub(crate) fn write(kind: Kind, file: &str) -> Result<()> {
    let mut archive = Builder::new(BufWriter::new(File::create(file)?));
    match kind {
        Kind::Manifest => {
            append(&mut archive, "manifest.json", 200_000_000, b"[".chain(repeat(b' ')).take(200_000_000))?;
        }
        Kind::NestedJson => {
            const HALF: u64 = 500_000;
            let json = repeat(b'[').take(HALF).chain(repeat(b']').take(HALF));
            append(&mut archive, "manifest.json", 2 * HALF, json)?;
        }
        Kind::Blobs => {
            for number in 0..70_000 {
                append(&mut archive, &format!("blobs/sha256/{number:064x}"), 2, &b"{}"[..])?;
            }
        }
        Kind::Circle => {
            let digest = |number| format!("{number:064x}");
            let media_type = "application/vnd.oci.image.index.v1+json";
            let index = |to| {
                format!(
                    r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"sha256:{}","size":200}}]}}"#,
                    digest(to)
                )
            };
            let whole = index(0);
            append(&mut archive, "index.json", whole.len() as u64, whole.as_bytes())?;
            for number in 0..1000 {
                let index = index((number + 1) % 1000);
                let name = format!("blobs/sha256/{}", digest(number));
                append(&mut archive, &name, index.len() as u64, index.as_bytes())?;
            }
        }
        Kind::Size => {
            let mut header = header(u64::MAX >> 1, EntryType::Regular);
            archive.append_data(&mut header, "layer.tar", &b"short"[..])?;
        }
        _ => {
            let layer = layer(kind)?;
            let manifest = r#"[{"Config":"config.json","RepoTags":[],"Layers":["layer.tar"]}]"#;
            append(&mut archive, "manifest.json", manifest.len() as u64, manifest.as_bytes())?;
            append(&mut archive, "config.json", 2, &b"{}"[..])?;
            append(&mut archive, "layer.tar", layer.len() as u64, layer.as_slice())?;
        }
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn layer(kind: Kind) -> Result<Vec<u8>> {
    match kind {
        Kind::Bomb => bomb(),
        Kind::DoubleBomb => gzip(bomb()?.as_slice()),
        Kind::Window => Ok([&LARGEST_WINDOW[..], &[0; 1 << 10]].concat()),
        Kind::NestedGzip => (0..DEPTH).try_fold(b"the end".to_vec(), |inner, _| gzip(inner.as_slice())),
        Kind::NestedTar => (0..DEPTH).try_fold(b"the end".to_vec(), |inner, _| {
            let mut tar = Builder::new(Vec::new());
            append(&mut tar, "layer.tar", inner.len() as u64, inner.as_slice())?;
            Ok(tar.into_inner()?)
        }),
        Kind::Names => {
            let mut tar = Builder::new(Vec::new());
            for number in 0..200 {
                // tar writes a header of GNU's kind for a long name.
                let name = format!("{}/{number}", ["x"; 500_000].join("/"));
                append(&mut tar, &name, 1, &b"x"[..])?;
            }
            gzip(tar.into_inner()?.as_slice())
        }
        Kind::Extension => {
            let mut tar = Builder::new(Vec::new());
            // A header only: the layer ends within its bytes.
            tar.append(&header(8 << 30, EntryType::XHeader), repeat(b'9').take(1 << 20))?;
            Ok(tar.into_inner()?)
        }
        _ => {
            let mut tar = Builder::new(Vec::new());
            for number in 0..50_000 {
                append(&mut tar, &format!("a/a/{number}"), 0, empty())?;
                append(&mut tar, &format!("a/{number}/.wh..wh..opq"), 0, empty())?;
                append(&mut tar, &format!("a/.wh.{number}"), 0, empty())?;
            }
            Ok(tar.into_inner()?)
        }
    }
}

fn bomb() -> Result<Vec<u8>> {
    let mut tar = GzEncoder::new(Vec::new(), Compression::best());
    let mut builder = Builder::new(&mut tar);
    append(&mut builder, "zeros", BOMB, repeat(0).take(BOMB))?;
    builder.into_inner()?;
    Ok(tar.finish()?)
}

fn gzip(mut bytes: impl Read) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::copy(&mut bytes, &mut encoder)?;
    Ok(encoder.finish()?)
}

fn header(size: u64, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_cksum();
    header
}

fn append<W: Write>(tar: &mut Builder<W>, name: &str, size: u64, bytes: impl Read) -> Result<()> {
    Ok(tar.append_data(&mut header(size, EntryType::Regular), name, bytes)?)
}
