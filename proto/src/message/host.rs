//! What the bridge says.

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::SessionId;
use super::field::{agents, key, request, session_id, up_to, write_keys, write_texts};
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::escape::Untrusted;
use crate::key::Key;
use crate::limits::{CHUNK, MAX_DETAIL, MAX_OFFERS, MAX_SECRET};

/// Why one secret is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The bridge has no secret of that key.
    Unknown,
    /// `max-reads` is used up.
    ReadLimit,
    /// The source (a command) failed or yielded nothing.
    SourceFailed,
    /// The audit record could not be written, so nothing is given.
    AuditFailed,
}

impl RefusalReason {
    const NUMBERED: [(u8, Self); 4] =
        [(1, Self::Unknown), (2, Self::ReadLimit), (3, Self::SourceFailed), (4, Self::AuditFailed)];

    fn number(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::ReadLimit => 2,
            Self::SourceFailed => 3,
            Self::AuditFailed => 4,
        }
    }

    /// What it means, in a few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "the bridge has no such secret",
            Self::ReadLimit => "its max-reads is used up",
            Self::SourceFailed => "its source failed on the host",
            Self::AuditFailed => "the host cannot write its audit record",
        }
    }
}

/// What the bridge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMessage<'b> {
    /// `[16, session, [agent …]]`: first message of a session.
    Welcome {
        /// Names the session in a redial.
        session: SessionId,
        /// Ids of the agents offered.
        agents: Vec<String>,
    },
    /// `[17, request, length]`: a secret of so many bytes follows, in chunks. 0 bytes: it is complete.
    Length {
        /// Which request this answers.
        request: u32,
        /// In bytes, at most [`MAX_SECRET`].
        length: u64,
    },
    /// `[18, request, bytes]`: the next bytes of a secret, 1 to [`CHUNK`] of them.
    Chunk {
        /// Which request this answers.
        request: u32,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// `[19, request, reason, detail]`: this secret is not given.
    Refused {
        /// Which request this answers.
        request: u32,
        /// Why.
        reason: RefusalReason,
        /// More about it, for people; may be empty.
        detail: Untrusted,
    },
    /// `[20, [key …], [agent …]]`: the answer to `test`.
    Offers {
        /// Keys of all secrets.
        keys: Vec<Key>,
        /// Ids of the agents offered.
        agents: Vec<String>,
    },
    /// `[21]`: the answer to `kill`: the bridge ends now.
    Ending,
}

impl<'b> HostMessage<'b> {
    /// As the payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the payload of one binary frame.
    ///
    /// # Errors
    /// [`WireError`]: the connection must be closed then.
    pub fn decode(payload: &'b [u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

impl<'b> Canonical<'b> for HostMessage<'b> {
    const NAME: &'static str = "a bridge's message";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (16, 3) => Ok(Self::Welcome { session: session_id(decoder)?, agents: agents(decoder)? }),
            (17, 3) => {
                let request = request(decoder)?;
                Ok(Self::Length { request, length: up_to(decoder.u64()?, ("secret", MAX_SECRET))? })
            }
            (18, 3) => {
                let request = request(decoder)?;
                let bytes = decoder.bytes()?;
                up_to(bytes.len() as u64, ("chunk", CHUNK as u64))?;
                if bytes.is_empty() { Err(Unreadable::Shape) } else { Ok(Self::Chunk { request, bytes }) }
            }
            (19, 4) => {
                let request = request(decoder)?;
                let number = decoder.u8()?;
                let reason = RefusalReason::NUMBERED.iter().find(|(known, _)| *known == number);
                let (_, reason) = reason.ok_or(Unreadable::Shape)?;
                let detail = decoder.str()?;
                up_to(detail.len() as u64, ("detail", MAX_DETAIL as u64))?;
                Ok(Self::Refused { request, reason: *reason, detail: Untrusted::new(detail) })
            }
            (20, 3) => {
                let keys = cbor::list(decoder, ("keys", MAX_OFFERS), key)?;
                Ok(Self::Offers { keys, agents: agents(decoder)? })
            }
            (21, 1) => Ok(Self::Ending),
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Welcome { session, agents } => {
                encoder.array(3)?.u8(16)?.bytes(&session.0)?;
                write_texts(encoder, agents)
            }
            Self::Length { request, length } => encoder.array(3)?.u8(17)?.u32(*request)?.u64(*length)?.ok(),
            Self::Chunk { request, bytes } => encoder.array(3)?.u8(18)?.u32(*request)?.bytes(bytes)?.ok(),
            Self::Refused { request, reason, detail } => {
                encoder.array(4)?.u8(19)?.u32(*request)?.u8(reason.number())?.str(cut(detail.raw()))?.ok()
            }
            Self::Offers { keys, agents } => {
                encoder.array(3)?.u8(20)?;
                write_keys(encoder, keys)?;
                write_texts(encoder, agents)
            }
            Self::Ending => encoder.array(1)?.u8(21)?.ok(),
        }
    }
}

/// The longest start of `text` within [`MAX_DETAIL`].
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
