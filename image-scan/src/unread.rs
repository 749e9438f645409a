//! Why a blob was not searched as what it is.

use thiserror::Error;

use crate::compression::Compression;

/// The reason, and what to do. It holds no text of the image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Unread {
    #[error("it is not in the archive; save the image again, with all its layers")]
    Missing,
    #[error(
        "it is not in the archive, because its media type forbids to distribute it; search it where it comes from"
    )]
    Foreign,
    #[error("it is encrypted; search the image before it is encrypted")]
    Encrypted,
    #[error("it is empty, and an empty layer is not; save the image again")]
    Empty,
    #[error(
        "it is not a tar archive, plain or compressed by gzip, zstd, xz or bzip2{}; convert its image, or remove it from \
         the archive",
        looks_like(.0)
    )]
    NotTar(Option<&'static str>),
    #[error("it is compressed twice ({} in {}), which engines do not read; save the image again", .inner.name(), .outer.name())]
    CompressedTwice { outer: Compression, inner: Compression },
    #[error("its content does not have the digest in its name: the archive is damaged; save the image again")]
    Digest,
    /// It cannot be decompressed, or is no complete tar archive.
    #[error("{0}; save the image again")]
    Broken(String),
    #[error("it is named as a manifest, but is not JSON of that form, or is longer than 1 MiB")]
    NoManifest,
    #[error("it is a manifest or config with too many parts")]
    TooManyParts,
    #[error("it is a manifest or config that has a member twice")]
    MemberTwice,
    #[error("the manifests and configs of the archive have more than {} MiB", crate::limits::MAX_DOCUMENTS >> 20)]
    TooManyDocuments,
}

fn looks_like(format: &Option<&'static str>) -> String {
    format.map(|format| format!(", but looks like {format}")).unwrap_or_default()
}

/// The name of a format that engines do not read, by its first bytes.
pub(crate) fn foreign_format(head: &[u8]) -> Option<&'static str> {
    const FORMATS: [(&[u8], &str); 8] = [
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"LZIP", "lzip"),
        (b"\x5d\0\0", "lzma"),
        (b"\x1f\x9d", "compress"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"hsqs", "squashfs"),
        (b"\xff\x06\0\0sNaPpY", "snappy"),
    ];
    FORMATS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}
