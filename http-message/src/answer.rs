//! Answers.

use crate::error::MessageError;
use crate::head::{self, Version, is_field_byte};
use crate::headers::Headers;
use crate::length::{BodyLength, declared};

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerHead {
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    /// No control character but tabs.
    pub reason: Vec<u8>,
    pub headers: Headers,
}

impl AnswerHead {
    /// Parses the head at the beginning of `bytes`. Returns it with its length in bytes; `None` if it has not arrived
    /// completely.
    ///
    /// # Errors
    /// [`MessageError`]; if no end of a head is within [`MAX_HEAD`](crate::MAX_HEAD) bytes, too.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let Some(split) = head::split(bytes)? else { return Ok(None) };
        let (version, rest) = split.first.split_at_checked(8).ok_or(MessageError::StatusLine)?;
        let version = Version::parse(version)?;
        let [b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else {
            return Err(MessageError::StatusLine);
        };
        let status = [a, b, c].iter().fold(0u16, |status, &&digit| status * 10 + u16::from(digit - b'0'));
        // Several servers leave the last space out where they have no reason to give.
        let reason = match rest {
            [] => rest,
            [b' ', reason @ ..] if reason.iter().copied().all(is_field_byte) => reason,
            _ => return Err(MessageError::StatusLine),
        };
        let head = Self { version, status, reason: reason.to_vec(), headers: split.headers };
        Ok(Some((head, split.length)))
    }

    /// How the body of this answer to a request with the method `request` ends.
    ///
    /// # Errors
    /// [`MessageError`], if that could be read in two ways; for an answer without a body, too.
    pub fn body(&self, request: &str) -> Result<BodyLength, MessageError> {
        let declared = declared(self.version, &self.headers)?;
        // RFC 9112, 6.3.
        match self.status {
            100..=199 | 204 | 304 => Ok(BodyLength::None),
            _ if request == "HEAD" => Ok(BodyLength::None),
            _ => Ok(declared.unwrap_or(BodyLength::UntilClose)),
        }
    }

    /// The bytes of the head, with the empty line. What was parsed is written so that it is parsed as the same.
    pub fn write(&self) -> Vec<u8> {
        let status = self.status.to_string();
        let first = [self.version.as_str().as_bytes(), b" ", status.as_bytes(), b" ", &self.reason];
        head::write(&first, &self.headers)
    }
}

#[cfg(test)]
mod tests;
