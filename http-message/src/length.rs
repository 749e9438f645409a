//! How the length of a body is given.

use crate::error::MessageError;
use crate::head::Version;
use crate::headers::Headers;
use crate::limits::MAX_LENGTH_DIGITS;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// After so many bytes.
    Known(u64),
    /// After its last chunk.
    Chunked,
    /// With the connection. Only an answer can have such a body.
    UntilClose,
}

impl BodyLength {
    /// Whether no byte of a body follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Known(0))
    }
}

/// What the header fields say about the body; `None` if they say nothing.
///
/// Content-Length is one field with digits only, without leading zeros (C programs read those as octal numbers), and
/// Transfer-Encoding is one field that says `chunked`: all else is what two programs read in two ways.
pub(crate) fn declared(version: Version, headers: &Headers) -> Result<Option<BodyLength>, MessageError> {
    let (has_length, has_encoding) =
        (headers.contains("Content-Length"), headers.contains("Transfer-Encoding"));
    match (has_length, has_encoding) {
        (false, false) => Ok(None),
        (true, true) => Err(MessageError::AmbiguousLength),
        (false, true) if version == Version::Http10 => Err(MessageError::AmbiguousLength),
        (false, true) => match headers.only("Transfer-Encoding") {
            Some(value) if value.eq_ignore_ascii_case(b"chunked") => Ok(Some(BodyLength::Chunked)),
            Some(_) | None => Err(MessageError::TransferEncoding),
        },
        (true, false) => {
            let value = headers.only("Content-Length").ok_or(MessageError::ContentLength)?;
            number(value).map(|length| Some(BodyLength::Known(length))).ok_or(MessageError::ContentLength)
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_one_form = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    if !is_one_form || digits.len() > MAX_LENGTH_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
