//! Unpacks one stream of deflate data: bare, or in the frames of gzip or zlib.

use flate2::{FlushDecompress, Status};

use crate::gzip;
use crate::inflater::Inflater;
use crate::input::{Input, Source};
use crate::sink::Shared;

/// What is around the deflate data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// As in zip archives.
    None,
    /// Several members are one stream. The header of the first has been read.
    Gzip,
    Zlib,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As its format says, or with its input.
    Whole,
    /// What followed is not valid.
    Corrupt,
    /// By a limit, or because reading has to end.
    Stopped,
}

/// A stream that is being unpacked.
pub(crate) struct Inflated<'a, 's> {
    input: &'a mut dyn Input,
    shared: &'a Shared<'s>,
    frame: Frame,
    inflater: Inflater,
    /// The output from `at` to `length` is the chunk.
    at: usize,
    length: usize,
    ended: Option<Ended>,
}

impl<'a, 's> Inflated<'a, 's> {
    pub(crate) fn begin(input: &'a mut dyn Input, shared: &'a Shared<'s>, frame: Frame) -> Self {
        let is_zlib = frame == Frame::Zlib;
        let inflater = match shared.spare.borrow_mut().pop() {
            Some(mut inflater) => {
                inflater.decoder.reset(is_zlib);
                inflater
            }
            None => Inflater::new(is_zlib),
        };
        Self { input, shared, frame, inflater, at: 0, length: 0, ended: None }
    }

    /// Unpacks the rest, which is not fed, and says how the stream ended.
    pub(crate) fn finish(mut self) -> Ended {
        loop {
            let length = self.chunk().len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        self.shared.spare.borrow_mut().push(self.inflater);
        self.ended.unwrap_or(Ended::Whole)
    }

    fn fill(&mut self) {
        let Inflater { decoder, output } = &mut self.inflater;
        self.at = 0;
        self.length = 0;
        while let Some(room) = output.get_mut(self.length..)
            && !room.is_empty()
        {
            let packed = self.input.chunk();
            let is_last = packed.is_empty();
            let (read, written) = (decoder.total_in(), decoder.total_out());
            let status = decoder.decompress(packed, room, FlushDecompress::None);
            let read = usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(decoder.total_out() - written).unwrap_or(usize::MAX);
            self.input.consume(read);
            self.length += written;
            self.ended = match status {
                Ok(Status::StreamEnd) if self.frame == Frame::Gzip && gzip::next_member(self.input) => {
                    decoder.reset(false);
                    None
                }
                Ok(Status::StreamEnd) => Some(Ended::Whole),
                Ok(_) if read > 0 || written > 0 => None,
                Ok(_) if is_last => Some(Ended::Whole),
                Ok(_) | Err(_) => Some(Ended::Corrupt),
            };
            if self.ended.is_some() {
                break;
            }
        }
        if !self.shared.unpack(self.length) || self.shared.is_stopped() {
            self.ended = Some(Ended::Stopped);
        }
    }
}

impl Source for Inflated<'_, '_> {
    fn chunk(&mut self) -> &[u8] {
        while self.at >= self.length && self.ended.is_none() {
            self.fill();
        }
        self.inflater.output.get(self.at..self.length).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}
