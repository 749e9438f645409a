//! Why an image could not be searched, or not all of it.

use std::io;

use thiserror::Error;

/// Texts from the image in it are redacted.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The archive or the directory cannot be read, or is truncated.
    #[error("cannot read {what}")]
    Read { what: String, source: io::Error },
    #[error("not a container image: neither a tar archive, plain or compressed, nor a directory")]
    NoArchive,
    /// An archive of something else.
    #[error("not a container image: no manifest with layers that are present")]
    NoImage,
    /// A decompression bomb, or what looks like one.
    #[error("not everything was searched: what is compressed in {file} unpacks to too much or too deep")]
    Unpacked { file: String },
    /// A layer, or what may be one, was not read as a tar archive to its end.
    #[error("cannot search {what}: {reason}{}", others(*.more))]
    Unsearched {
        what: String,
        reason: String,
        /// Number of further ones.
        more: usize,
    },
    #[error("the archive has more than {} blobs", crate::limits::MAX_BLOBS)]
    TooManyBlobs,
    #[error("a blob of the archive has a name of more than {} bytes", crate::limits::MAX_BLOB_NAME)]
    LongName,
    #[error("cannot start {program}")]
    Engine { program: String, source: io::Error },
    /// The engine reports the cause on its stderr.
    #[error("{program} failed to save the image ({status})")]
    Save { program: String, status: String },
}

impl ScanError {
    pub(crate) fn read(what: impl Into<String>, source: io::Error) -> Self {
        Self::Read { what: what.into(), source }
    }
}

fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (and one more was not searched)".to_owned(),
        more => format!(" (and {more} more were not searched)"),
    }
}

pub(crate) fn corrupt(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

pub(crate) fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
}
