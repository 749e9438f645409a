//! Compressed archives and blobs. They are unpacked in a thread of their own while another searches the output.
//!
//! Each format is read to the end of the input: several gzip members, zstd frames, xz or bzip2 streams follow each other in
//! the files of parallel compressors. Bytes that are no format's end in an error. Bytes that a format carries beside its
//! content (names and comments of gzip, skippable frames of zstd) are handed to [`Unpacking::aside`].

use std::io::{self, BufRead, Read};

use crate::budget::Budget;
use crate::large_memory::{LargeMemory, Owner};

mod bzip2;
mod gzip;
mod read_ahead;
mod xz;
mod zstd;

/// How a blob is compressed: in one of the formats that container engines read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

/// What unpacking needs of a scan.
#[derive(Clone, Copy)]
pub(crate) struct Unpacking<'s> {
    pub(crate) budget: &'s Budget,
    pub(crate) memory: &'s LargeMemory,
    pub(crate) owner: Owner,
    /// Searches bytes that are not part of the unpacked content.
    pub(crate) aside: &'s (dyn Fn(&mut (dyn BufRead + Send)) -> io::Result<()> + Sync),
}

impl Compression {
    /// Recognised by the first bytes; `None` if not compressed in a known format.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if head.starts_with(&zstd::MAGIC) || zstd::is_skippable(head) {
            Some(Self::Zstd)
        } else if head.starts_with(b"\xfd7zXZ\0") {
            Some(Self::Xz)
        } else if head.starts_with(b"BZh") {
            Some(Self::Bzip2)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// Unpacks `input` in another thread, and calls `consume` with the output in this one.
    pub(crate) fn unpack<T>(
        self,
        input: impl BufRead + Send,
        with: Unpacking<'_>,
        consume: impl FnOnce(&mut (dyn BufRead + Send)) -> io::Result<T>,
    ) -> io::Result<T> {
        let budget = with.budget;
        match self {
            Self::Gzip => read_ahead::read(Bounded::new(gzip::Gzip::new(input, with), budget, 1), consume),
            Self::Zstd => read_ahead::read(Bounded::new(zstd::Zstd::new(input, with)?, budget, 1), consume),
            // Slower by about as much, byte by byte of the output.
            Self::Xz => read_ahead::read(Bounded::new(xz::Xz::new(input, with)?, budget, 2), consume),
            Self::Bzip2 => read_ahead::read(Bounded::new(bzip2::Bzip2::new(input, with), budget, 4), consume),
        }
    }
}

/// A reader that fails once the budget is used up.
struct Bounded<'b, R> {
    input: R,
    budget: &'b Budget,
    /// Work for each byte.
    weight: u64,
}

impl<'b, R> Bounded<'b, R> {
    fn new(input: R, budget: &'b Budget, weight: u64) -> Self {
        Self { input, budget, weight }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.budget.spend(self.weight.saturating_mul(length as u64))?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;
    use crate::limits::{CHUNK, WORK_OF_ANY_ARCHIVE};

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(bytes, 1).unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap();
        packed
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        ::bzip2::read::BzEncoder::new(bytes, ::bzip2::Compression::fast()).read_to_end(&mut packed).unwrap();
        packed
    }

    type Pack = fn(&[u8]) -> Vec<u8>;
    const FORMATS: [Pack; 4] = [gzipped, zstd, xz, bzip2];

    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[0x53, 0x2a, 0x4d, 0x18], &length[..], content].concat()
    }

    /// The output, and the bytes that were beside it.
    fn unpack_within(packed: &[u8], budget: &Budget) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let beside = Mutex::new(Vec::new());
        let aside =
            |input: &mut (dyn BufRead + Send)| input.read_to_end(&mut beside.lock().unwrap()).map(|_| ());
        let memory = LargeMemory::default();
        let with = Unpacking { budget, memory: &memory, owner: Owner::Blob, aside: &aside };
        let compression = Compression::of(packed).expect("compressed");
        let output = compression.unpack(packed, with, |plain| {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).map(|_| all)
        })?;
        Ok((output, beside.into_inner().unwrap()))
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        unpack_within(packed, &Budget::default()).map(|(output, _)| output)
    }

    #[test]
    fn every_format_is_unpacked_to_its_end() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for format in FORMATS {
            let packed = format(&bytes);
            assert!(unpacked(&packed).unwrap() == bytes);
            for cut in [1, packed.len() / 2, packed.len() - 7] {
                assert!(unpacked(&packed[..packed.len() - cut]).is_err(), "{cut} bytes cut");
            }
            // Several in a row, as parallel compressors write them, but nothing else.
            let (first, second) = bytes.split_at(500_001);
            assert!(unpacked(&[format(first), format(b""), format(second)].concat()).unwrap() == bytes);
            assert!(unpacked(&[&packed[..], b"another format"].concat()).is_err());
            assert!(unpacked(&[&packed[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn changed_bytes_of_any_format_are_an_error() {
        let bytes = b"a layer, which has a checksum in each format ".repeat(100);
        for format in [gzipped, xz, bzip2] {
            let packed = format(&bytes);
            // The first bytes of gzip hold a time, which nothing checks.
            for at in 10..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x10;
                let outcome = unpacked(&changed);
                assert!(outcome.is_err() || outcome.unwrap() == bytes, "byte {at}");
            }
        }
    }

    #[test]
    fn bytes_beside_the_content_are_handed_over() {
        let named = {
            let builder =
                flate2::GzBuilder::new().filename("name").comment("comment").extra(b"extra".to_vec());
            let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
            encoder.write_all(b"content").unwrap();
            encoder.finish().unwrap()
        };
        let (output, beside) = unpack_within(&named, &Budget::default()).unwrap();
        assert_eq!(output, b"content");
        for part in [&b"name"[..], b"comment", b"extra"] {
            assert!(beside.windows(part.len()).any(|window| window == part), "{beside:?}");
        }
        // pzstd writes such a frame before each other one, zstd:chunked at the end.
        let frames = [skippable(b"first"), zstd(b"con"), skippable(b"second"), zstd(b"tent"), skippable(b"")];
        let (output, beside) = unpack_within(&frames.concat(), &Budget::default()).unwrap();
        assert_eq!((output.as_slice(), beside.as_slice()), (&b"content"[..], &b"firstsecond"[..]));
        assert!(unpacked(&[zstd(b"content"), skippable(b"cut")[..9].to_vec()].concat()).is_err());
    }

    #[test]
    fn a_decompression_bomb_is_an_error() {
        for format in FORMATS {
            let bomb = format(&[0; 1 << 20]);
            assert!(unpacked(&bomb).is_ok());
            let budget = Budget::default();
            budget.spend(WORK_OF_ANY_ARCHIVE - (1 << 20) + 1).unwrap();
            let error = unpack_within(&bomb, &budget).unwrap_err();
            assert!(error.to_string().contains("more work than its size justifies"), "{error}");
        }
    }

    #[test]
    fn streams_that_unpack_to_nothing_use_up_the_budget() {
        // 14 bytes each, for which a decoder allocates 4 MB.
        let streams = bzip2(b"").repeat(2000);
        assert!(unpacked(&streams).is_err());
    }

    #[test]
    fn a_window_over_the_limit_is_refused() {
        // Frame header: magic, a descriptor without single segment, a window of 2^(10 + 21).
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
        assert!(unpacked(&frame).unwrap_err().to_string().contains("window"));
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(liblzma::stream::LzmaOptions::new_preset(0).unwrap().dict_size(256 << 20));
        let check = liblzma::stream::Check::Crc32;
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
        let mut packed = Vec::new();
        liblzma::read::XzEncoder::new_stream(&b"content"[..], stream).read_to_end(&mut packed).unwrap();
        assert!(unpacked(&packed).unwrap_err().to_string().contains("memory"));
    }

    #[test]
    fn a_large_window_is_used_by_one_decoder_at_a_time() {
        let mut packed = Vec::new();
        let mut encoder = ::zstd::Encoder::new(&mut packed, 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"content").unwrap();
        encoder.finish().unwrap();
        let mut of_xz = Vec::new();
        liblzma::read::XzEncoder::new(&b"content"[..], 9).read_to_end(&mut of_xz).unwrap();
        for packed in [packed, of_xz] {
            assert_eq!(unpacked(&packed).unwrap(), b"content");
            let (memory, budget) = (LargeMemory::default(), Budget::default());
            let _archive = memory.acquire(Owner::Archive).unwrap();
            let with = Unpacking { budget: &budget, memory: &memory, owner: Owner::Blob, aside: &|_| Ok(()) };
            let compression = Compression::of(&packed).unwrap();
            let outcome = compression.unpack(&packed[..], with, |plain| io::copy(plain, &mut io::sink()));
            assert!(outcome.unwrap_err().to_string().contains("unpack the archive first"));
        }
    }

    #[test]
    fn dropping_the_reader_ends_the_other_thread() {
        let packed = gzipped(&[0; 10 << 20]);
        let (memory, budget) = (LargeMemory::default(), Budget::default());
        let with = Unpacking { budget: &budget, memory: &memory, owner: Owner::Blob, aside: &|_| Ok(()) };
        let stopped = Compression::Gzip.unpack(&packed[..], with, |plain| plain.fill_buf().map(<[u8]>::len));
        assert_eq!(stopped.unwrap(), CHUNK);
    }
}
