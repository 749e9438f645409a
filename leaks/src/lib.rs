//! What a secret looks like where it should not be.
//!
//! A secret leaks as itself, as a value inside it (the token in an `.npmrc`), or encoded (base64 in a header,
//! percent-encoded in a URL). This crate searches streams for all of these:
//!
//! ```text
//! secret -> value     the parts that are secret on their own    a password in a .netrc, a line of a private key
//!        -> form      how each value may be encoded             text, base64, hexadecimal, UTF-16
//!        -> anchor    a few bytes of it that are rare           one lookup for all of them at once: pattern
//!        -> compare   outwards from the anchor, byte by byte    each byte in any spelling: `%2f`, `\\/`, `&#47;`
//!        -> mask      replaces matches: output of COMMAND
//!        -> finder    reports matches: layers, files
//! ```
//!
//! Not found and not masked:
//!
//! - a value in an encoding within another one, other than escapes within escapes, base64 of UTF-16, and escapes or line
//!   ends within base64: base64 of base64, base64 of escaped text, hexadecimal digits of base64;
//! - names of HTML for characters beyond Latin-1 (`&Omega;`), and escapes within UTF-16;
//! - the words of `od -x` and `od -o`, and the characters of `od -c`;
//! - a value in a line that was broken by anything else than white space, `\` (YAML) or `=` (quoted-printable) at its end.
//!
//! Nothing in here opens a file, prints, or shows a value: results are keys, encodings and offsets.

#![forbid(unsafe_code)]

mod anchor;
mod base64_text;
mod compare;
mod coverage;
mod encoding;
mod finder;
mod heuristics;
mod hex;
mod limits;
mod mask;
mod memo;
mod pattern;
mod spelling;
mod utf16;
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

#[cfg(test)]
mod tests;
