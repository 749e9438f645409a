//! bzip2: streams, one after the other.

use std::io::{self, BufRead, Read};

use bzip2::{Decompress, Status};

use super::Unpacking;
use crate::error::{corrupt, truncated};

/// Work for each stream: the decoder allocates 4 MB, which are wiped when they are freed.
const STREAM: u64 = 4 << 20;

pub(super) struct Bzip2<'s, R> {
    input: R,
    with: Unpacking<'s>,
    decoder: Option<Decompress>,
    begun: bool,
}

impl<'s, R: BufRead + Send> Bzip2<'s, R> {
    pub(super) fn new(input: R, with: Unpacking<'s>) -> Self {
        Self { input, with, decoder: None, begun: false }
    }
}

impl<R: BufRead + Send> Read for Bzip2<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None if at_end && self.begun => return Ok(0),
                empty => {
                    self.with.budget.spend(STREAM)?;
                    self.begun = true;
                    empty.insert(Decompress::new(false))
                }
            };
            let (read, written) = (decoder.total_in(), decoder.total_out());
            let status = decoder.decompress(input, buffer).map_err(|_| corrupt("invalid bzip2 data"))?;
            // No more than the lengths of the two slices, which are usizes.
            let read = usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(decoder.total_out() - written).unwrap_or(usize::MAX);
            self.input.consume(read);
            if status == Status::StreamEnd {
                self.decoder = None;
            } else if at_end && written == 0 {
                return Err(truncated());
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}
