//! `print`: writes the bytes of a secret as they arrive, without collecting them.

use std::fs::File;
use std::io::{self, Write};
#[cfg(unix)]
use std::os::fd::AsFd as _;
#[cfg(windows)]
use std::os::windows::io::AsHandle as _;

use base64::engine::GeneralPurpose;
use base64::write::EncoderWriter;
use local_ipc::WaitingOutput;
use proto::Encoding;

use crate::delivery::error::DeliveryError;
use crate::delivery::sink::Sink;

/// Standard output, in the encoding that the prefix of the key selects. Does not use std's buffer, which flushes at line ends
/// and would hold back what follows the last one.
pub(crate) enum Stdout {
    Plain(WaitingOutput),
    Encoded(Box<EncoderWriter<'static, GeneralPurpose, WaitingOutput>>),
}

impl Stdout {
    pub(crate) fn open(encoding: Encoding) -> Result<Self, DeliveryError> {
        #[cfg(unix)]
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        #[cfg(windows)]
        let stdout = io::stdout().as_handle().try_clone_to_owned();
        let stdout =
            stdout.map(|stdout| WaitingOutput::new(File::from(stdout))).map_err(DeliveryError::Stdout)?;
        Ok(match encoding.engine() {
            None => Self::Plain(stdout),
            Some(engine) => Self::Encoded(Box::new(EncoderWriter::new(stdout, engine))),
        })
    }

    /// Writes what the encoder holds back.
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
