//! How short a value may be.

/// Shortest value that is masked. Shorter ones are in every other word of ordinary output.
pub const MASK_MIN: usize = 6;

/// Shortest value that is searched for. In gigabytes of files, shorter ones are found by chance.
pub const LEAK_MIN: usize = 8;
