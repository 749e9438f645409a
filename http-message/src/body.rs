//! The framing of bodies.

use crate::error::MessageError;
use crate::head::is_field_byte;
use crate::length::BodyLength;
use crate::limits::{MAX_LINE_OF_CHUNK, MAX_SIZE_DIGITS};

/// What ends a chunk's bytes.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What ends a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What stands before a chunk of `length` bytes; [`CHUNK_END`] stands after it. A chunk of no bytes would end the body.
pub fn chunk_head(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n").into_bytes()
}

/// Reads a body, as it arrives.
#[derive(Debug)]
pub struct BodyReader(State);

/// What [`BodyReader::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPart<'b> {
    /// So many bytes of the input were read. If it is 0 and the body has not ended, more input is needed.
    pub consumed: usize,
    /// Bytes of the body among them.
    pub data: &'b [u8],
    /// Whether the body has ended. What follows in the input is not part of it.
    pub end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Known(u64),
    UntilClose,
    /// In the size of a chunk, of which so many digits were read.
    Size {
        size: u64,
        digits: usize,
    },
    /// In the extensions of a chunk, after so many bytes.
    Extension {
        size: u64,
        length: usize,
    },
    /// Before the line feed after the size of a chunk.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataFeed,
    /// At the beginning of a line of the trailers, after so many bytes of them.
    Trailer {
        length: usize,
    },
    InTrailer {
        length: usize,
    },
    TrailerFeed {
        length: usize,
    },
    LastFeed,
    End,
    Broken(MessageError),
}

impl BodyReader {
    pub fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::None | BodyLength::Known(0) => State::End,
            BodyLength::Known(left) => State::Known(left),
            BodyLength::Chunked => State::Size { size: 0, digits: 0 },
            BodyLength::UntilClose => State::UntilClose,
        })
    }

    /// Reads from `input`, which begins where the last call stopped, up to the end of one run of the body's bytes.
    /// Trailers and extensions of chunks are dropped.
    ///
    /// # Errors
    /// [`MessageError`]; again from then on.
    pub fn read<'b>(&mut self, input: &'b [u8]) -> Result<BodyPart<'b>, MessageError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let left = match self.0 {
                State::End => return Ok(BodyPart { consumed, data: &[], end: true }),
                State::Broken(error) => return Err(error),
                State::UntilClose => u64::MAX,
                State::Known(left) | State::Data { left } => left,
                State::Size { .. }
                | State::Extension { .. }
                | State::SizeEnd { .. }
                | State::DataFeed
                | State::Trailer { .. }
                | State::InTrailer { .. }
                | State::TrailerFeed { .. }
                | State::LastFeed => 0,
            };
            if left > 0 {
                let data = rest.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(rest);
                self.0 = self.0.after_data(left - data.len() as u64);
                return Ok(BodyPart { consumed: consumed + data.len(), data, end: self.0 == State::End });
            }
            let Some(&byte) = rest.first() else {
                return Ok(BodyPart { consumed, data: &[], end: false });
            };
            self.0 = self.0.after(byte).unwrap_or_else(State::Broken);
            consumed += 1;
        }
    }

    /// Whether the connection may end here: the body has ended, or it ends with the connection.
    pub fn may_close(&self) -> bool {
        matches!(self.0, State::End | State::UntilClose)
    }
}

impl State {
    /// The state after bytes of the body, with so many left of this run.
    fn after_data(self, left: u64) -> Self {
        match (self, left) {
            (Self::Known(_), 0) => Self::End,
            (Self::Known(_), _) => Self::Known(left),
            (Self::Data { .. }, _) => Self::Data { left },
            (other, _) => other,
        }
    }

    /// The state after one byte that is not the body's.
    fn after(self, byte: u8) -> Result<Self, MessageError> {
        match (self, byte) {
            (Self::Size { digits: 1.., size }, b'\r') => Ok(Self::SizeEnd { size }),
            (Self::Size { digits: 1.., size }, b';') => Ok(Self::Extension { size, length: 1 }),
            (Self::Size { size, digits }, _) => {
                let digit = char::from(byte).to_digit(16).filter(|_| digits < MAX_SIZE_DIGITS);
                let digit = digit.ok_or(MessageError::ChunkSize)?;
                Ok(Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (Self::Extension { size, .. }, b'\r') => Ok(Self::SizeEnd { size }),
            (Self::Extension { length: MAX_LINE_OF_CHUNK.., .. }, _) => Err(MessageError::ChunkLine),
            (Self::Extension { size, length }, _) if is_field_byte(byte) => {
                Ok(Self::Extension { size, length: length + 1 })
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Ok(Self::Trailer { length: 0 }),
            (Self::SizeEnd { size }, b'\n') => Ok(Self::Data { left: size }),
            (Self::Data { .. }, b'\r') => Ok(Self::DataFeed),
            (Self::DataFeed, b'\n') => Ok(Self::Size { size: 0, digits: 0 }),
            (Self::Trailer { .. }, b'\r') => Ok(Self::LastFeed),
            (
                Self::Trailer { length: MAX_LINE_OF_CHUNK.. }
                | Self::InTrailer { length: MAX_LINE_OF_CHUNK.. },
                _,
            ) => Err(MessageError::ChunkLine),
            (Self::InTrailer { length }, b'\r') => Ok(Self::TrailerFeed { length: length + 1 }),
            (Self::Trailer { length } | Self::InTrailer { length }, _) if is_field_byte(byte) => {
                Ok(Self::InTrailer { length: length + 1 })
            }
            (Self::TrailerFeed { length }, b'\n') => Ok(Self::Trailer { length: length + 1 }),
            (Self::LastFeed, b'\n') => Ok(Self::End),
            (
                Self::Extension { .. }
                | Self::SizeEnd { .. }
                | Self::Data { .. }
                | Self::DataFeed
                | Self::Trailer { .. }
                | Self::InTrailer { .. }
                | Self::TrailerFeed { .. }
                | Self::LastFeed
                | Self::Known(_)
                | Self::UntilClose
                | Self::End
                | Self::Broken(_),
                _,
            ) => Err(MessageError::ChunkEnd),
        }
    }
}

#[cfg(test)]
mod tests;
