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
    /// Layers of zeros in the other formats: 1 GiB in some kilobytes.
    ZstdBomb,
    XzBomb,
    Bzip2Bomb,
    /// A layer of bzip2 streams that unpack to nothing, each of which takes a decoder 4 MB.
    EmptyStreams,
    /// A layer of gzip members that unpack to nothing.
    EmptyMembers,
    /// A layer of xz streams, each of which asks for a dictionary of 64 MiB.
    Dictionaries,
    /// A million files without content, compressed.
    Entries,
    /// pax headers of as many records as fit.
    Records,
    /// An archive of 10 KB, compressed, with 2000 images of one config of 1 MB.
    SharedConfig,
    /// Documents of 1 MB that consist of objects.
    Objects,
    /// Manifests with as many tags, layers and instructions as fit.
    Lists,
    /// A compressed archive of JSON documents.
    Documents,
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
            "zstd-bomb" => Self::ZstdBomb,
            "xz-bomb" => Self::XzBomb,
            "bzip2-bomb" => Self::Bzip2Bomb,
            "empty-streams" => Self::EmptyStreams,
            "empty-members" => Self::EmptyMembers,
            "dictionaries" => Self::Dictionaries,
            "entries" => Self::Entries,
            "records" => Self::Records,
            "shared-config" => Self::SharedConfig,
            "objects" => Self::Objects,
            "lists" => Self::Lists,
            "documents" => Self::Documents,
            _ => return Err(format!("unknown archive {name:?}")),
        })
    }
}

const BOMB: u64 = 1 << 30;
const DEPTH: usize = 200;
/// The magic number of zstd, and a frame header with the largest window: 2^41 bytes and 7 eighths of it (RFC 8878, 3.1.1).
const LARGEST_WINDOW: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff];

/// A bzip2 stream without blocks.
const EMPTY_BZIP2: &[u8] = b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0";
/// Length of the longest document that `scan` parses.
const DOCUMENT: usize = 1 << 20;

/// Writes the archive to `file`.
pub(crate) fn write(kind: Kind, file: &str) -> Result<()> {
    match kind {
        Kind::SharedConfig => return whole_in_gzip(file, shared_config()?),
        Kind::Documents => return whole_in_gzip(file, documents(2000, br#""","#)?),
        Kind::Objects => return Ok(std::fs::write(file, documents(16, br#"{"":0},"#)?)?),
        _ => {}
    }
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
        Kind::Lists => {
            let tags = r#""x:1","#.repeat(DOCUMENT / 12);
            let layers = r#""a","#.repeat(DOCUMENT / 12);
            let manifest = format!(r#"[{{"Config":"c.json","RepoTags":[{tags}""],"Layers":[{layers}"a"]}}]"#);
            append(&mut archive, "manifest.json", manifest.len() as u64, manifest.as_bytes())?;
            let history = r#"{"created_by":""},"#.repeat(DOCUMENT / 20);
            let config = format!(r#"{{"rootfs":{{}},"history":[{history}{{}}]}}"#);
            append(&mut archive, "c.json", config.len() as u64, config.as_bytes())?;
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
        Kind::ZstdBomb => Ok(zstd::encode_all(zeros()?.as_slice(), 19)?),
        Kind::XzBomb => {
            let mut packed = Vec::new();
            liblzma::read::XzEncoder::new(zeros()?.as_slice(), 6).read_to_end(&mut packed)?;
            Ok(packed)
        }
        Kind::Bzip2Bomb => {
            let mut packed = Vec::new();
            bzip2::read::BzEncoder::new(zeros()?.as_slice(), bzip2::Compression::best())
                .read_to_end(&mut packed)?;
            Ok(packed)
        }
        Kind::EmptyStreams => Ok(EMPTY_BZIP2.repeat(100_000)),
        Kind::EmptyMembers => Ok(gzip(empty())?.repeat(500_000)),
        Kind::Dictionaries => {
            let mut packed = Vec::new();
            liblzma::read::XzEncoder::new(&b"x"[..], 9).read_to_end(&mut packed)?;
            Ok(packed.repeat(100_000))
        }
        Kind::Entries => {
            let mut tar = Builder::new(Vec::new());
            for number in 0..1_000_000 {
                append(&mut tar, &format!("{number}"), 0, empty())?;
            }
            gzip(tar.into_inner()?.as_slice())
        }
        Kind::Records => {
            let mut tar = Builder::new(Vec::new());
            let records = b"5 a=\n".repeat((1 << 20) / 5);
            for _ in 0..100 {
                tar.append(&header(records.len() as u64, EntryType::XHeader), records.as_slice())?;
                append(&mut tar, "file", 0, empty())?;
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

/// A file of zeros in a tar archive.
fn zeros() -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "zeros", BOMB / 4, repeat(0).take(BOMB / 4))?;
    Ok(tar.into_inner()?)
}

/// Manifests of 2000 images, which all have one config.
fn shared_config() -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let name = |number: usize| format!("blobs/sha256/m{number}");
    let created_by = "x".repeat(DOCUMENT / 2);
    let config =
        format!(r#"{{"rootfs":{{"diff_ids":["sha256:d"]}},"history":[{{"created_by":"{created_by}"}}]}}"#);
    append(&mut archive, "blobs/sha256/c0ffee", config.len() as u64, config.as_bytes())?;
    for number in 0..2000 {
        let manifest = format!(
            r#"{{"config":{{"digest":"sha256:c0ffee"}},"layers":[{{"digest":"sha256:a{number}"}}]}}"#
        );
        append(&mut archive, &name(number), manifest.len() as u64, manifest.as_bytes())?;
        append(&mut archive, &format!("blobs/sha256/a{number}"), 1024, repeat(0).take(1024))?;
    }
    Ok(archive.into_inner()?)
}

/// Manifests of 1 MB, each with an array that consists of `part`.
fn documents(count: usize, part: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let parts = part.repeat(DOCUMENT / part.len() - 20);
    let document = [br#"{"manifests":[],"x":["#, &parts[..], b"0]}"].concat();
    for number in 0..count {
        append(&mut archive, &format!("{number}.json"), document.len() as u64, document.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

fn whole_in_gzip(file: &str, archive: Vec<u8>) -> Result<()> {
    Ok(std::fs::write(file, gzip(archive.as_slice())?)?)
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
