//! Reads a ClientHello (RFC 8446, 4.1.2) byte by byte, before any state of a TLS library exists.
//!
//! Strict, since its peers are strangers: it rejects at the first byte that no client of a bridge sends, and holds no
//! more than the message so far, at most [`MAX_CLIENT_HELLO`] bytes. It looks for one thing: the only protocol of the
//! only ALPN extension (RFC 7301). What else the message says is for the TLS library to judge.

use thiserror::Error;

use crate::limits::MAX_CLIENT_HELLO;

/// Content type of a record: handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// Type of a handshake message: client_hello (RFC 8446, 4).
const CLIENT_HELLO: u8 = 1;
/// Number of the ALPN extension.
const ALPN: u16 = 16;

/// Length of a record's header: type, version, length.
const RECORD_HEAD: usize = 5;
/// Length of a handshake message's header: type, length.
const MESSAGE_HEAD: usize = 4;
/// Most extensions. Browsers send some 18.
const MAX_EXTENSIONS: usize = 64;

/// Why bytes are not the ClientHello of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidHello {
    /// The bytes do not begin as a ClientHello does.
    #[error("not a TLS ClientHello")]
    NotTls,
    /// It needs more than [`MAX_CLIENT_HELLO`] bytes with its records' headers.
    #[error("a ClientHello of more than {MAX_CLIENT_HELLO} bytes")]
    TooLong,
    /// A length inside the message contradicts another one, an extension occurs twice, or bytes follow the message.
    #[error("a malformed ClientHello")]
    Malformed,
    /// A valid ClientHello without ALPN, or with other than one protocol in it.
    #[error("a ClientHello without exactly one ALPN protocol")]
    NoProtocol,
}

/// A whole ClientHello with one ALPN protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    message: Vec<u8>,
    /// The ALPN protocol.
    pub protocol: Vec<u8>,
}

impl ClientHello {
    /// The message in a single TLS record, however many it came in. TLS authenticates messages, not their records.
    pub fn to_record(&self) -> Vec<u8> {
        let [.., high, low] = self.message.len().to_be_bytes();
        [&[HANDSHAKE, 3, 1, high, low], self.message.as_slice()].concat()
    }
}

/// Collects a ClientHello that arrives in pieces.
#[derive(Debug, Default)]
pub struct ClientHelloReader {
    /// The message so far, its header included, without the records' headers.
    message: Vec<u8>,
    /// Bytes so far, with the records' headers.
    received: usize,
    /// The header of the current record, as far as it has arrived.
    record_head: [u8; RECORD_HEAD],
    record_head_length: usize,
    /// Bytes of the current record that have not arrived.
    record_rest: usize,
}

impl ClientHelloReader {
    /// Takes the next bytes of the peer. `None` means that the message is not whole. After an error, or the whole
    /// message, the reader is of no more use.
    ///
    /// # Errors
    /// [`InvalidHello`] as soon as no further byte could make the message valid.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Option<ClientHello>, InvalidHello> {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.received == MAX_CLIENT_HELLO {
                return Err(InvalidHello::TooLong);
            }
            if self.record_rest == 0 {
                bytes = rest;
                self.received += 1;
                self.push_record_head(first)?;
                continue;
            }
            let length = self.record_rest.min(bytes.len());
            let (part, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
            bytes = rest;
            self.received += part.len();
            self.record_rest -= part.len();
            self.message.extend_from_slice(part);
            if self.is_whole()? {
                if !bytes.is_empty() {
                    return Err(InvalidHello::Malformed);
                }
                let message = std::mem::take(&mut self.message);
                let body = message.get(MESSAGE_HEAD..).unwrap_or_default();
                let protocol = only_protocol(body)?.to_vec();
                return Ok(Some(ClientHello { message, protocol }));
            }
        }
        Ok(None)
    }

    /// Takes one byte of a record's header.
    fn push_record_head(&mut self, byte: u8) -> Result<(), InvalidHello> {
        // The first record may claim any version up to 1.2; it has no meaning (RFC 8446, 5.1).
        match (self.record_head_length, byte) {
            (0, HANDSHAKE) | (1, 3) | (2, 1..=3) | (3.., _) => {}
            _ => return Err(InvalidHello::NotTls),
        }
        if let Some(at) = self.record_head.get_mut(self.record_head_length) {
            *at = byte;
        }
        self.record_head_length += 1;
        let [_, _, _, high, low] = self.record_head;
        let room = MAX_CLIENT_HELLO - self.received;
        if self.record_head_length == RECORD_HEAD - 1 && usize::from(high) << 8 > room {
            return Err(InvalidHello::TooLong);
        }
        if self.record_head_length == RECORD_HEAD {
            self.record_head_length = 0;
            self.record_rest = usize::from(u16::from_be_bytes([high, low]));
            match self.record_rest {
                // Handshake records must not be empty (RFC 8446, 5.1).
                0 => return Err(InvalidHello::Malformed),
                length if length > room => return Err(InvalidHello::TooLong),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the message is whole, as far as its header has arrived.
    fn is_whole(&self) -> Result<bool, InvalidHello> {
        let mut head = self.message.iter().copied();
        match head.next() {
            None => return Ok(false),
            Some(CLIENT_HELLO) => {}
            Some(_) => return Err(InvalidHello::NotTls),
        }
        // What has arrived of the length gives a lower bound of it.
        let mut declared = 0;
        for shift in [16, 8, 0] {
            let Some(byte) = head.next() else { return Ok(false) };
            declared |= usize::from(byte) << shift;
            if declared > MAX_CLIENT_HELLO - RECORD_HEAD - MESSAGE_HEAD {
                return Err(InvalidHello::TooLong);
            }
        }
        // legacy_version: 1.2 in TLS 1.3 (RFC 8446, 4.1.2).
        if head.zip([3, 3]).any(|(byte, expected)| byte != expected) {
            return Err(InvalidHello::Malformed);
        }
        let missing = (MESSAGE_HEAD + declared).checked_sub(self.message.len());
        let missing =
            missing.filter(|missing| *missing >= self.record_rest).ok_or(InvalidHello::Malformed)?;
        // What this record does not have needs one more.
        let another = if missing > self.record_rest { RECORD_HEAD } else { 0 };
        if missing + another > MAX_CLIENT_HELLO - self.received {
            return Err(InvalidHello::TooLong);
        }
        Ok(missing == 0)
    }
}

/// The only protocol of the only ALPN extension in the body of a ClientHello.
fn only_protocol(body: &[u8]) -> Result<&[u8], InvalidHello> {
    let mut body = Parser(body);
    body.take(2 + 32)?; // legacy_version, random
    if body.vector8()?.len() > 32 {
        return Err(InvalidHello::Malformed); // legacy_session_id
    }
    let suites = body.vector16()?;
    if suites.is_empty() || !suites.len().is_multiple_of(2) || body.vector8()? != [0] {
        return Err(InvalidHello::Malformed); // cipher_suites; legacy_compression_methods is null alone
    }
    if body.0.is_empty() {
        return Err(InvalidHello::NoProtocol); // TLS 1.2 permits a message without extensions
    }
    let mut extensions = Parser(body.vector16()?);
    body.end()?;
    let mut kinds = [0; MAX_EXTENSIONS];
    let mut alpn = None;
    for count in 0.. {
        if extensions.0.is_empty() {
            break;
        }
        let (kind, content) = (extensions.number16()?, extensions.vector16()?);
        // Twice the same extension is an error (RFC 8446, 4.2); the limit bounds this search.
        if kinds.get(..count).is_none_or(|earlier| earlier.contains(&kind)) {
            return Err(InvalidHello::Malformed);
        }
        *kinds.get_mut(count).ok_or(InvalidHello::Malformed)? = kind;
        if kind == ALPN {
            alpn = Some(content);
        }
    }
    let mut list = Parser(alpn.ok_or(InvalidHello::NoProtocol)?);
    let mut protocols = Parser(list.vector16()?);
    list.end()?;
    let protocol = protocols.vector8()?;
    // RFC 7301, 3.1: protocols are not empty.
    if protocol.is_empty() {
        return Err(InvalidHello::Malformed);
    }
    protocols.end().map_err(|_| InvalidHello::NoProtocol)?;
    Ok(protocol)
}

/// Reads values of TLS's presentation language (RFC 8446, 3) from the front of bytes.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], InvalidHello> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(InvalidHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, InvalidHello> {
        let (number, rest) = self.0.split_first_chunk().ok_or(InvalidHello::Malformed)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }

    /// Bytes after their length in one byte.
    fn vector8(&mut self) -> Result<&'a [u8], InvalidHello> {
        let (&length, rest) = self.0.split_first().ok_or(InvalidHello::Malformed)?;
        self.0 = rest;
        self.take(usize::from(length))
    }

    /// Bytes after their length in two bytes.
    fn vector16(&mut self) -> Result<&'a [u8], InvalidHello> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }

    fn end(&self) -> Result<(), InvalidHello> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidHello::Malformed) }
    }
}

#[cfg(test)]
mod tests;
