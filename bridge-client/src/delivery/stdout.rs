//! `print`: exactly the secret's bytes, as they arrive. Nothing is collected, however long the secret is.

use std::io::{self, StdoutLock, Write};

use base64::engine::GeneralPurpose;
use base64::write::EncoderWriter;
use proto::Encoding;

use crate::error::DeliveryError;
use crate::fetch::Delivery;

/// Standard output, in the form that the key's prefix asks for.
pub(crate) enum Stdout {
    Plain(StdoutLock<'static>),
    Encoded(Box<EncoderWriter<'static, GeneralPurpose, StdoutLock<'static>>>),
}

impl Stdout {
    pub(crate) fn new(encoding: Encoding) -> Self {
        let stdout = io::stdout().lock();
        match encoding.engine() {
            None => Self::Plain(stdout),
            Some(engine) => Self::Encoded(Box::new(EncoderWriter::new(stdout, engine))),
        }
    }

    /// Writes what is still held back.
    pub(crate) fn finish(self) -> Result<(), DeliveryError> {
        let flush = |mut stdout: StdoutLock<'static>| stdout.flush();
        match self {
            Self::Plain(stdout) => flush(stdout),
            Self::Encoded(mut encoder) => encoder.finish().and_then(flush),
        }
        .map_err(DeliveryError::Stdout)
    }
}

impl Delivery for Stdout {
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
