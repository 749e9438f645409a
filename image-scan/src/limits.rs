//! Every length and count that an image can influence, on one screen. Their sum bounds the memory of a scan.

/// Work that any archive may cause, in bytes searched: some two seconds.
pub(crate) const WORK_OF_ANY_ARCHIVE: u64 = 2 << 30;

/// Further work for each byte of the archive. Layers of programs unpack to 2 or 3 times their size, text to 10; zeros in gzip
/// to 1000, in the other formats to 10,000 and more.
pub(crate) const WORK_PER_BYTE: u64 = 128;

/// Work for an entry of a tar archive, beside its bytes: a million take less than a second.
pub(crate) const WORK_PER_ENTRY: u64 = 512;

/// Work for each byte of a JSON document, beside its search.
pub(crate) const WORK_PER_DOCUMENT_BYTE: u64 = 16;

/// Work for a name or value of a JSON document, beside its bytes: each is a search of its own.
pub(crate) const WORK_PER_TEXT: u64 = 128;

/// Longest tar extension header (long names, attributes). As in Go's archive/tar, with which images are written.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// All extension headers of one entry together.
pub(crate) const MAX_EXTENSIONS: usize = 4 << 20;

/// Largest window of a zstd frame, or dictionary of xz: what the decoder keeps in memory. skopeo writes zstd windows of up to
/// 32 MiB, `xz -9` a dictionary of 64 MiB.
pub(crate) const MAX_WINDOW: u64 = 64 << 20;

/// Largest window that several decoders may have at once. The defaults of `zstd -19` and `xz`.
pub(crate) const SMALL_WINDOW: u64 = 8 << 20;

/// Longest name or comment in a gzip header.
pub(crate) const MAX_GZIP_TEXT: u64 = 64 << 10;

/// Largest JSON document that is parsed. Larger ones are searched as bytes.
pub(crate) const MAX_DOCUMENT: usize = 1 << 20;

/// Most values and names of a manifest, an index or a config: parsed, each takes up to 700 bytes. A config of 127 layers has
/// some 1500.
pub(crate) const MAX_DOCUMENT_PARTS: usize = 65_536;

/// All manifests, indexes and configs that are kept, in bytes.
pub(crate) const MAX_DOCUMENTS: usize = 8 << 20;

/// Most blobs of one archive.
pub(crate) const MAX_BLOBS: usize = 65_536;

/// Longest name of a blob, in bytes. A digest has some 80.
pub(crate) const MAX_BLOB_NAME: usize = 512;

/// Longest text of a manifest or config that is shown, in characters: the name of an image, an instruction.
pub(crate) const MAX_TEXT: usize = 1024;

/// Most manifests and layers that are listed because they are not in the archive.
pub(crate) const MAX_LISTED: usize = 32;

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
