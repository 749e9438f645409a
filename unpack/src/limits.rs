//! Every bound, on one screen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How deep streams may be inside each other. A class in a jar in a war in a `.tar.gz` has the depth 3.
pub(crate) const MAX_DEPTH: usize = 6;

/// Streams that are unpacked from one file. The largest zip archives in use have some 100,000 entries.
pub(crate) const MAX_STREAMS: u64 = 1 << 20;

/// Longest name of a zip entry, and longest name, comment or extra field in a gzip header. Both formats could have 64 KiB.
pub(crate) const MAX_NAME: usize = 8 << 10;

/// Bytes that are unpacked at once. With the state of the decoder a depth costs some 80 KiB.
pub(crate) const CHUNK: usize = 32 << 10;

/// How much may be unpacked: `base`, and `per_byte` for each byte that was read, but no more than `most`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) base: u64,
    pub(crate) per_byte: u64,
    pub(crate) most: u64,
}

impl Allowance {
    fn covers(&self, read: u64, unpacked: u64) -> bool {
        unpacked <= self.base.saturating_add(self.per_byte.saturating_mul(read)).min(self.most)
    }
}

/// How much may be unpacked, for all files of one check or image. Threads share it.
///
/// One file may unpack to 512 MiB and 128 bytes for each of its own. All files may unpack to 2 GiB and 64 bytes for each of
/// theirs, up to 64 GiB.
#[derive(Debug)]
pub struct Budget {
    of_file: Allowance,
    of_all: Allowance,
    read: AtomicU64,
    unpacked: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        // Deflate packs at most 1032 to 1, which only zeros reach; text that repeats itself packs some 20 to 1.
        let of_file = Allowance { base: 512 << 20, per_byte: 128, most: 64 << 30 };
        // A small input with many small bombs takes seconds, not minutes.
        let of_all = Allowance { base: 2 << 30, per_byte: 64, most: 64 << 30 };
        Self::new(of_file, of_all)
    }
}

impl Budget {
    pub(crate) fn new(of_file: Allowance, of_all: Allowance) -> Self {
        Self { of_file, of_all, read: AtomicU64::new(0), unpacked: AtomicU64::new(0) }
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Relaxed);
    }

    /// Counts `bytes` that were unpacked from a file. `false` if they exceed a limit. The file was read up to `read`, and
    /// unpacked to `unpacked` bytes, these included.
    pub(crate) fn unpack(&self, bytes: u64, read: u64, unpacked: u64) -> bool {
        let all = self.unpacked.fetch_add(bytes, Relaxed).saturating_add(bytes);
        self.of_all.covers(self.read.load(Relaxed), all) && self.of_file.covers(read, unpacked)
    }
}
