//! xz: streams, one after the other.

use std::io::{self, BufRead, Read};

use liblzma::stream::{Action, CONCATENATED, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::Unpacking;
use crate::error::{corrupt, truncated};
use crate::large_memory::Permit;
use crate::limits::{MAX_WINDOW, SMALL_WINDOW};

/// What the decoder needs beside its dictionary.
const BESIDE_DICTIONARY: u64 = 1 << 20;

pub(super) struct Xz<'s, R> {
    input: R,
    with: Unpacking<'s>,
    decoder: Stream,
    ended: bool,
    permit: Option<Permit<'s>>,
}

impl<'s, R: BufRead + Send> Xz<'s, R> {
    pub(super) fn new(input: R, with: Unpacking<'s>) -> io::Result<Self> {
        let flags = CONCATENATED | TELL_UNSUPPORTED_CHECK;
        let decoder = Stream::new_stream_decoder(SMALL_WINDOW + BESIDE_DICTIONARY, flags)?;
        Ok(Self { input, with, decoder, ended: false, permit: None })
    }

    /// Allows the decoder the largest dictionary, when it needs more than the smaller limit.
    fn grow(&mut self) -> io::Result<()> {
        if self.permit.is_some() {
            let mib = MAX_WINDOW >> 20;
            let problem = format!("its xz dictionary needs more memory than the limit of {mib} MiB");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        self.permit = Some(self.with.memory.acquire(self.with.owner)?);
        Ok(self.decoder.set_memlimit(MAX_WINDOW + BESIDE_DICTIONARY)?)
    }
}

impl<R: BufRead + Send> Read for Xz<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            let (read, written) = (self.decoder.total_in(), self.decoder.total_out());
            let action = if at_end { Action::Finish } else { Action::Run };
            let status = self.decoder.process(input, buffer, action);
            // No more than the lengths of the two slices, which are usizes.
            let read = usize::try_from(self.decoder.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(self.decoder.total_out() - written).unwrap_or(usize::MAX);
            self.input.consume(read);
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(Status::Ok) if !at_end || written > 0 => {}
                Ok(Status::Ok | Status::MemNeeded) => return Err(truncated()),
                Ok(Status::GetCheck) | Err(Error::UnsupportedCheck) => {
                    return Err(corrupt("the xz data has a checksum of an unknown kind"));
                }
                Err(Error::MemLimit) => self.grow()?,
                Err(_) => return Err(corrupt("invalid xz data")),
            }
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}
