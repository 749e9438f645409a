//! Requests.

use crate::error::MessageError;
use crate::head::{self, Version, token};
use crate::headers::Headers;
use crate::length::{BodyLength, declared};

/// What a request is for (RFC 9112, 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Path and query, as they came. It begins with `/`.
    Path(String),
    /// A URL, as to a proxy.
    Absolute {
        /// In lower case.
        scheme: String,
        /// Host, and the port if there is one, as they came; never empty, without `@`.
        authority: String,
        /// Path and query, as they came; `/` is put before what does not begin with it.
        path: String,
    },
    /// Host and port, of a CONNECT only.
    Authority(String),
    /// `*`, of an OPTIONS only.
    Asterisk,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// A token. Methods are case-sensitive.
    pub method: String,
    pub target: Target,
    pub version: Version,
    pub headers: Headers,
}

impl RequestHead {
    /// Parses the head at the beginning of `bytes`. Returns it with its length in bytes; `None` if it has not arrived
    /// completely.
    ///
    /// # Errors
    /// [`MessageError`]; if no end of a head is within [`MAX_HEAD`](crate::MAX_HEAD) bytes, too.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let Some(split) = head::split(bytes)? else { return Ok(None) };
        let mut parts = split.first.split(|&byte| byte == b' ');
        let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
            return Err(MessageError::RequestLine);
        };
        let Some(version) = parts.next() else {
            // HTTP/0.9 is `GET /path`.
            return Err(if target.is_empty() { MessageError::RequestLine } else { MessageError::Version });
        };
        if parts.next().is_some() {
            return Err(MessageError::RequestLine);
        }
        let version = Version::parse(version)?;
        let method = token(method).ok_or(MessageError::Method)?;
        let target = Target::parse(&method, target).ok_or(MessageError::Target)?;
        Ok(Some((Self { method, target, version, headers: split.headers }, split.length)))
    }

    /// How the body ends: never with the connection.
    ///
    /// # Errors
    /// [`MessageError`], if that could be read in two ways.
    pub fn body(&self) -> Result<BodyLength, MessageError> {
        Ok(declared(self.version, &self.headers)?.unwrap_or(BodyLength::None))
    }

    /// The bytes of the head, with the empty line. What was parsed is written so that it is parsed as the same.
    pub fn write(&self) -> Vec<u8> {
        let target = self.target.to_string();
        let first = [self.method.as_bytes(), b" ", target.as_bytes(), b" ", self.version.as_str().as_bytes()];
        head::write(&first, &self.headers)
    }
}

impl std::fmt::Display for Target {
    /// As in a request line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Absolute { scheme, authority, path } => write!(f, "{scheme}://{authority}{path}"),
            Self::Authority(authority) => f.write_str(authority),
            Self::Asterisk => f.write_str("*"),
        }
    }
}

impl Target {
    fn parse(method: &str, target: &[u8]) -> Option<Self> {
        // No white space, no control characters, and no fragment, which is never sent. Bytes that are not ASCII are what
        // curl sends for a path that was typed so.
        let is_target_char = |c: char| c > ' ' && c != '#' && !c.is_control() && !c.is_whitespace();
        let text = str::from_utf8(target).ok().filter(|text| text.chars().all(is_target_char))?;
        match (method, text) {
            ("CONNECT", _) => is_authority(text).then(|| Self::Authority(text.to_owned())),
            ("OPTIONS", "*") => Some(Self::Asterisk),
            (_, _) if text.starts_with('/') => Some(Self::Path(text.to_owned())),
            (_, _) => Self::parse_absolute(text),
        }
    }

    fn parse_absolute(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        (is_scheme && is_authority(authority)).then(|| Self::Absolute {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

/// Host and port, as far as their characters go. No user names and passwords (RFC 9110, 4.2.4).
fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte))
}

#[cfg(test)]
mod tests;
