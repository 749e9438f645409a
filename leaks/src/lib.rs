//! What a secret looks like where it should not be.
//!
//! A secret leaks as itself, as a value inside of it (the token in an `.npmrc`), or in another dress (base64 in a
//! header, percent-encoded in a URL). This crate knows these looks and finds them in streams:
//!
//! ```text
//! secret -> value    what in it is secret on its own            a password in a .netrc, a line of a private key
//!        -> form     how each value may be written              raw, base64, URL-encoded, hex, JSON
//!        -> pattern  all of that, ready to be searched for      a filter of four-byte grams, then comparison
//!        -> mask     replaces what it finds: output of COMMAND
//!        -> finder   reports what it finds: layers, files
//! ```
//!
//! Nothing in here opens a file, prints, or shows a value: what comes out are keys, forms and offsets.

#![forbid(unsafe_code)]

mod encoding;
mod finder;
mod heuristics;
mod mask;
mod pattern;
#[cfg(test)]
mod speed;
mod value;

pub use encoding::Form;
pub use finder::{Finder, Hit, Search};
pub use mask::{Mask, MaskStream};

/// Shortest value that is masked. Shorter ones are in every other word of ordinary output.
pub const MASK_MIN: usize = 6;

/// Shortest value that is searched for. In gigabytes of files, shorter ones are found by chance.
pub const LEAK_MIN: usize = 8;
