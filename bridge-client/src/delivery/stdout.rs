//! `print`: exactly the secret's bytes, as they arrive. Nothing is collected, however long the secret is.

use std::fs::File;
use std::io::{self, Write};
#[cfg(unix)]
use std::os::fd::AsFd as _;
#[cfg(windows)]
use std::os::windows::io::AsHandle as _;

use base64::engine::GeneralPurpose;
use base64::write::EncoderWriter;
use proto::Encoding;

use crate::delivery::error::DeliveryError;
use crate::delivery::sink::Sink;

/// Standard output, in the form that the key's prefix asks for. Without std's buffer: it looks for line ends, and would
/// hold back what follows the last one.
pub(crate) enum Stdout {
    Plain(File),
    Encoded(Box<EncoderWriter<'static, GeneralPurpose, File>>),
}

impl Stdout {
    pub(crate) fn open(encoding: Encoding) -> Result<Self, DeliveryError> {
        #[cfg(unix)]
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        #[cfg(windows)]
        let stdout = io::stdout().as_handle().try_clone_to_owned();
        let stdout = stdout.map(File::from).map_err(DeliveryError::Stdout)?;
        Ok(match encoding.engine() {
            None => Self::Plain(stdout),
            Some(engine) => Self::Encoded(Box::new(EncoderWriter::new(stdout, engine))),
        })
    }

    /// Writes what is still held back.
    pub(crate) fn finish(self) -> Result<(), DeliveryError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Encoded(mut encoder) => encoder.finish().map(drop).map_err(DeliveryError::Stdout),
        }
    }
}

impl Sink for Stdout {
    fn begin(&mut self, _index: usize, _length: u64) -> Result<(), DeliveryError> {
        Ok(())
    }

    fn chunk(&mut self, _index: usize, bytes: &[u8]) -> Result<(), DeliveryError> {
        match self {
            Self::Plain(stdout) => stdout.write_all(bytes),
            Self::Encoded(encoder) => encoder.write_all(bytes),
        }
        .map_err(DeliveryError::Stdout)
    }
}
