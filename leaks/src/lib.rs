//! What a secret looks like where it should not be.
//!
//! A secret leaks as itself, as a value inside it (the token in an `.npmrc`), or encoded (base64 in a header,
//! percent-encoded in a URL). This crate searches streams for all of these:
//!
//! ```text
//! secret -> value     the parts that are secret on their own    a password in a .netrc, a line of a private key
//!        -> encoding  each value as it may be written           raw, base64, URL-encoded, hex, JSON
//!        -> pattern   search for all of them at once            a filter of four-byte grams, then comparison
//!        -> mask      replaces matches: output of COMMAND
//!        -> finder    reports matches: layers, files
//! ```
//!
//! Nothing in here opens a file, prints, or shows a value: results are keys, encodings and offsets.

#![forbid(unsafe_code)]

mod coverage;
mod encoding;
mod finder;
mod heuristics;
mod limits;
mod mask;
mod pattern;
mod value;

/// The part of the tests' harness that says what a test needs, at the path by which its macro finds it.
#[cfg(test)]
mod support {
    pub(crate) use super::require;
}
#[cfg(test)]
#[path = "../../tests/support/require.rs"]
#[allow(dead_code, clippy::panic, unreachable_pub, reason = "it has the needs of all tests, and fails them")]
mod require;

pub use coverage::gap;
pub use encoding::Encoding;
pub use finder::{Finder, Hit, Search};
pub use limits::{LEAK_MIN, MASK_MIN};
pub use mask::{Mask, MaskStream};
pub use value::TextEncoding;
