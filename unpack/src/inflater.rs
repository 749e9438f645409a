//! A decoder and its output, to be used again: both are cleared when they are freed, which costs more than small entries.

use flate2::Decompress;

use crate::limits::CHUNK;

pub(crate) struct Inflater {
    pub(crate) decoder: Decompress,
    pub(crate) output: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new(is_zlib: bool) -> Self {
        Self { decoder: Decompress::new(is_zlib), output: vec![0; CHUNK] }
    }
}
