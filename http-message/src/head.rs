//! Heads: where they end, their header fields, and their bytes.

use memchr::memchr_iter;

use crate::error::MessageError;
use crate::headers::{Header, Headers};
use crate::limits::{MAX_HEAD, MAX_HEADERS};

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, MessageError> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            b"HTTP/2.0" => Err(MessageError::Http2),
            _ => Err(MessageError::Version),
        }
    }
}

/// A head, split: the first line, and the header fields.
pub(crate) struct SplitHead<'a> {
    pub(crate) first: &'a [u8],
    pub(crate) headers: Headers,
    /// Bytes of the head, with its empty line.
    pub(crate) length: usize,
}

/// Splits the head at the beginning of `bytes`; `None` if it has not arrived completely.
///
/// A head that has not arrived is looked through for line feeds only: it may arrive byte by byte, and be looked at after
/// each of them.
pub(crate) fn split(bytes: &[u8]) -> Result<Option<SplitHead<'_>>, MessageError> {
    let Some(length) = length(bytes)? else { return Ok(None) };
    let head = bytes.get(..length).unwrap_or_default();
    let lines = head.strip_suffix(b"\r\n").ok_or(MessageError::LineEnd)?;
    // Every line feed has a carriage return before it. Every other carriage return is refused where it stands.
    let mut lines =
        lines.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    if first.contains(&b'\r') {
        return Err(MessageError::LineEnd);
    }
    let mut headers = Headers::default();
    for (number, line) in lines.enumerate() {
        if number == MAX_HEADERS {
            return Err(MessageError::TooManyHeaders);
        }
        let Header { name, value } = header(line)?;
        headers.push(name, value);
    }
    Ok(Some(SplitHead { first, headers, length }))
}

/// The length of the head at the beginning of `bytes`, with its empty line.
fn length(bytes: &[u8]) -> Result<Option<usize>, MessageError> {
    let searched = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let mut line_start = 0;
    for at in memchr_iter(b'\n', searched) {
        let line = searched.get(line_start..at).unwrap_or_default();
        match line {
            [b'\r'] if line_start == 0 => return Err(MessageError::EmptyLine),
            [b'\r'] => return Ok(Some(at + 1)),
            [.., b'\r'] => {}
            _ => return Err(MessageError::LineEnd),
        }
        line_start = at + 1;
    }
    if bytes.len() >= MAX_HEAD { Err(MessageError::HeadTooLarge) } else { Ok(None) }
}

/// One line of the header section.
fn header(line: &[u8]) -> Result<Header, MessageError> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(MessageError::FoldedHeader);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(MessageError::HeaderName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(MessageError::HeaderName)?;
    let value = trim(value.get(1..).unwrap_or_default());
    if value.contains(&b'\r') {
        return Err(MessageError::LineEnd);
    }
    if !value.iter().copied().all(is_field_byte) {
        return Err(MessageError::HeaderValue);
    }
    Ok(Header { name: token(name).ok_or(MessageError::HeaderName)?, value: value.to_vec() })
}

/// `bytes` if they are a token (RFC 9110, 5.6.2).
pub(crate) fn token(bytes: &[u8]) -> Option<String> {
    let is_token = !bytes.is_empty() && bytes.iter().copied().all(is_token_byte);
    is_token.then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether the value of a header field may have this byte: visible characters, space, tab, and what is not ASCII
/// (RFC 9110, 5.5).
pub(crate) fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The bytes of a head.
pub(crate) fn write(first: &[&[u8]], headers: &Headers) -> Vec<u8> {
    let mut bytes = first.concat();
    for Header { name, value } in headers.iter() {
        for part in [b"\r\n", name.as_bytes(), b": ", value] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}
