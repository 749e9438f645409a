//! Why an image could not be searched, or not all of it.

use std::io;

use thiserror::Error;

/// A failure. Names in it are fit to be shown.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The archive or the directory cannot be read, or is cut.
    #[error("cannot read {what}")]
    Read {
        /// Which part of it.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// It is no archive at all.
    #[error("this is no image: neither a tar archive, plain or compressed, nor a directory")]
    NoArchive,
    /// It is an archive, of something else.
    #[error("this is no image: there is no manifest that names layers, and they, in it")]
    NoImage,
    /// An image lacks layers of which others are there: what is in them is not known.
    #[error("the image is not whole: {missing} of its layers are not in the archive, such as {example}")]
    Incomplete {
        /// How many.
        missing: usize,
        /// One of them.
        example: String,
    },
    /// It has more blobs than an image can have.
    #[error("there are more than {} blobs", crate::limits::MAX_BLOBS)]
    TooManyBlobs,
    /// The engine that saves the image did not start.
    #[error("cannot start {program}")]
    Engine {
        /// The engine.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The engine that saves the image failed; it said why on stderr.
    #[error("{program} could not save the image ({status})")]
    Save {
        /// The engine.
        program: String,
        /// Its exit status, in words.
        status: String,
    },
}

impl ScanError {
    pub(crate) fn read(what: impl Into<String>, source: io::Error) -> Self {
        Self::Read { what: what.into(), source }
    }
}

/// A tar that is none.
pub(crate) fn corrupt(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// An end that comes too early.
pub(crate) fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
}
