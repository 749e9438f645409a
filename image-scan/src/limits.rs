//! Every length and count that an image can influence, on one screen. Their sum bounds the memory of a scan.

/// Most bytes that all compressed blobs of one image may unpack to. A decompression bomb ends in an error here.
pub(crate) const MAX_UNPACKED: u64 = 64 << 30;

/// Longest tar extension header (long names, attributes). As in Go's archive/tar, with which images are written.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// All extension headers of one entry together.
pub(crate) const MAX_EXTENSIONS: usize = 4 << 20;

/// Largest window of a zstd frame, as a power of two: what the decoder keeps in memory. Image tools use up to 2^23.
pub(crate) const MAX_ZSTD_WINDOW_LOG: u32 = 24;

/// Largest JSON document that is parsed. Larger ones are searched as bytes.
pub(crate) const MAX_DOCUMENT: usize = 1 << 20;

/// All manifests, indexes and configs that are kept to describe layers, in bytes.
pub(crate) const MAX_DOCUMENTS: usize = 8 << 20;

/// Most blobs of one archive.
pub(crate) const MAX_BLOBS: usize = 65_536;

/// Longest name of a blob that is kept, in characters. A digest has some 80.
pub(crate) const MAX_BLOB_NAME: usize = 256;

/// Most findings that are listed; further ones are counted.
pub(crate) const MAX_FINDINGS: usize = 4096;

/// Longest path that is kept with a finding, in bytes.
pub(crate) const MAX_PATH: usize = 1024;

/// Most comparisons of a finding's path with a whiteout, in one report. Beyond, `deleted_in` is left out.
pub(crate) const MAX_WHITEOUT_COMPARISONS: u64 = 16 << 20;

/// All whiteouts that are kept to report that a file was deleted later, in bytes.
pub(crate) const MAX_WHITEOUTS: usize = 4 << 20;

/// Bytes that are read, unpacked and searched at once. Small enough to stay in a core's cache.
pub(crate) const CHUNK: usize = 128 << 10;
