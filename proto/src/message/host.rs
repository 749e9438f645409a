//! Messages from bridge to client.

use std::borrow::Cow;

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::field::{
    agent_message, agents, cut, expect_array, key, origin, public_key, request, up_to, write_agents,
    write_keys,
};
use super::number;
use crate::agent::{AgentId, GitKey, Identity, KnownHost};
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::escape::Untrusted;
use crate::http::{Origin, RuledOrigin};
use crate::key::Key;
use crate::limits::{
    CHUNK, MAX_AGENT_HOSTS, MAX_COMMENT, MAX_DETAIL, MAX_IDENTITIES, MAX_OFFERS, MAX_ORIGINS, MAX_SECRET,
};

/// Why the bridge does not send a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The bridge has no secret with that key.
    Unknown,
    /// `max-reads` is used up.
    ReadLimit,
    /// The source (a command) failed, or its value was empty.
    SourceFailed,
    /// The audit record could not be written, so the bridge sends nothing.
    AuditFailed,
}

impl RefusalReason {
    pub const ALL: [Self; 4] = [Self::Unknown, Self::ReadLimit, Self::SourceFailed, Self::AuditFailed];

    /// Its number in a `refused` message.
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::ReadLimit => 2,
            Self::SourceFailed => 3,
            Self::AuditFailed => 4,
        }
    }

    /// A clause for error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "the bridge has no such secret",
            Self::ReadLimit => "its max-reads is used up",
            Self::SourceFailed => "its source failed on the host",
            Self::AuditFailed => "the host cannot write its audit record",
        }
    }
}

/// An array of three, its number, and the longest forms of a request and a length.
const MAX_CHUNK_HEAD: usize = 1 + 1 + 5 + 9;

/// A message from bridge to client, after the 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMessage<'b> {
    /// `[16, [agent …]]`: the session has begun, or continues. Only [`Waiting`](Self::Waiting) comes before it.
    Welcome { agents: Vec<AgentId> },
    /// `[17, request, length]`: a secret of this length follows in chunks; with length 0 it is complete.
    Length {
        request: u32,
        /// In bytes, at most [`MAX_SECRET`].
        length: u64,
    },
    /// `[18, request, bytes]`: the next bytes of a secret, 1 to [`CHUNK`] of them.
    Chunk { request: u32, bytes: &'b [u8] },
    /// `[19, request, reason, detail]`: the bridge does not send this secret.
    Refused {
        request: u32,
        reason: RefusalReason,
        /// For people; may be empty.
        detail: Untrusted,
    },
    /// `[20, [key …], [agent …]]`: all keys and agents, as the answer to `test`.
    Offers { keys: Vec<Key>, agents: Vec<AgentId>, origins: Vec<Origin> },
    /// `[21]`: the answer to `kill`; the bridge ends now.
    Ending,
    /// `[22, [line …], [[repository, key] …]]`: what comes with the agent that the hello requested. Sent once, after
    /// `welcome`.
    Agent {
        /// Keys of the hosts that it may log in to.
        known_hosts: Vec<KnownHost>,
        git_keys: Vec<GitKey>,
    },
    /// `[23, fixed, [[key, comment] …]]`: the keys that the agent offers. Sent after `agent`, and again when they have
    /// changed.
    Identities {
        /// Whether all of them are offered to every server. Otherwise some are for certain servers only, and a client
        /// asks again after a session-bind.
        fixed: bool,
        identities: Vec<Identity>,
    },
    /// `[24, channel, answer, refusal]`: the agent's answer.
    Answer {
        channel: u32,
        /// 1 to [`MAX_MESSAGE`](crate::limits::MAX_MESSAGE) bytes.
        answer: Cow<'b, [u8]>,
        /// Why the host refused, for people; empty if it did not.
        refusal: Untrusted,
    },
    /// `[25]`: the bridge is at its limit of sessions, and the session is in line for a place. Sent at once and then every
    /// 5 s, until `welcome` or the end of the connection.
    Waiting,
    /// `[26, [[origin, plain] …]]`: follows `welcome` if the hello asked for it: the origins that have rules. None if the
    /// bridge has no rule.
    Origins {
        /// At most [`MAX_ORIGINS`].
        origins: Vec<RuledOrigin>,
    },
}

impl<'b> HostMessage<'b> {
    /// Number and name of every message, as in `docs/PROTOCOL.md`.
    pub const NUMBERS: [(u8, &'static str); 11] = [
        (number::WELCOME, "welcome"),
        (number::LENGTH, "length"),
        (number::CHUNK, "chunk"),
        (number::REFUSED, "refused"),
        (number::OFFERS, "offers"),
        (number::ENDING, "ending"),
        (number::AGENT, "agent"),
        (number::IDENTITIES, "identities"),
        (number::ANSWER, "answer"),
        (number::WAITING, "waiting"),
        (number::ORIGINS, "origins"),
    ];

    /// The payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// What precedes the bytes in the encoding of a [`Self::Chunk`] of `length` bytes, so that a sender needs no copy of
    /// them.
    pub fn chunk_head(request: u32, length: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(MAX_CHUNK_HEAD);
        let write = |encoder: &mut Encoder<&mut Vec<u8>>| -> Written<&mut Vec<u8>> {
            encoder.array(3)?.u8(number::CHUNK)?.u32(request)?.bytes_len(length as u64)?.ok()
        };
        // Writing to a Vec cannot fail.
        let _ = write(&mut Encoder::new(&mut head));
        head
    }

    /// Decodes the payload of one binary frame.
    ///
    /// # Errors
    /// After a [`WireError`] the connection must be closed.
    pub fn decode(payload: &'b [u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

impl<'b> Canonical<'b> for HostMessage<'b> {
    const NAME: &'static str = "a bridge message";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (number::WELCOME, 2) => Ok(Self::Welcome { agents: agents(decoder)? }),
            (number::LENGTH, 3) => {
                let request = request(decoder)?;
                Ok(Self::Length { request, length: up_to(decoder.u64()?, ("secret", MAX_SECRET))? })
            }
            (number::CHUNK, 3) => {
                let request = request(decoder)?;
                let bytes = decoder.bytes()?;
                up_to(bytes.len() as u64, ("chunk", CHUNK as u64))?;
                if bytes.is_empty() { Err(Unreadable::Shape) } else { Ok(Self::Chunk { request, bytes }) }
            }
            (number::REFUSED, 4) => {
                let request = request(decoder)?;
                let number = decoder.u8()?;
                let reason = RefusalReason::ALL.into_iter().find(|reason| reason.number() == number);
                let reason = reason.ok_or(Unreadable::Shape)?;
                let detail = decoder.str()?;
                up_to(detail.len() as u64, ("detail", MAX_DETAIL as u64))?;
                Ok(Self::Refused { request, reason, detail: Untrusted::new(detail) })
            }
            (number::OFFERS, 4) => {
                let keys = cbor::list(decoder, ("keys", MAX_OFFERS), key)?;
                let agents = agents(decoder)?;
                let origins = cbor::list(decoder, ("origins", MAX_ORIGINS), origin)?;
                Ok(Self::Offers { keys, agents, origins })
            }
            (number::ENDING, 1) => Ok(Self::Ending),
            (number::AGENT, 3) => {
                let known_hosts = cbor::list(decoder, ("known hosts", MAX_AGENT_HOSTS), |decoder| {
                    decoder.str()?.parse().map_err(|_| WireError::Alphabet("known_hosts line").into())
                })?;
                let git_keys = cbor::list(decoder, ("git keys", MAX_AGENT_HOSTS), git_key)?;
                Ok(Self::Agent { known_hosts, git_keys })
            }
            (number::IDENTITIES, 3) => {
                let fixed = decoder.bool()?;
                let identities = cbor::list(decoder, ("identities", MAX_IDENTITIES), identity)?;
                Ok(Self::Identities { fixed, identities })
            }
            (number::ANSWER, 4) => {
                let channel = decoder.u32()?;
                let answer = Cow::Borrowed(agent_message(decoder)?);
                let refusal = decoder.str()?;
                up_to(refusal.len() as u64, ("refusal", MAX_DETAIL as u64))?;
                Ok(Self::Answer { channel, answer, refusal: Untrusted::new(refusal) })
            }
            (number::WAITING, 1) => Ok(Self::Waiting),
            (number::ORIGINS, 2) => {
                let ruled = |decoder: &mut Decoder<'b>| {
                    expect_array(decoder, 2)?;
                    Ok(RuledOrigin { origin: origin(decoder)?, plain: decoder.bool()? })
                };
                Ok(Self::Origins { origins: cbor::list(decoder, ("origins", MAX_ORIGINS), ruled)? })
            }
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Welcome { agents } => {
                encoder.array(2)?.u8(number::WELCOME)?;
                write_agents(encoder, agents)
            }
            Self::Length { request, length } => {
                encoder.array(3)?.u8(number::LENGTH)?.u32(*request)?.u64(*length)?.ok()
            }
            Self::Chunk { request, bytes } => {
                encoder.array(3)?.u8(number::CHUNK)?.u32(*request)?.bytes(bytes)?.ok()
            }
            Self::Refused { request, reason, detail } => encoder
                .array(4)?
                .u8(number::REFUSED)?
                .u32(*request)?
                .u8(reason.number())?
                .str(cut(detail.raw()))?
                .ok(),
            Self::Offers { keys, agents, origins } => {
                encoder.array(4)?.u8(number::OFFERS)?;
                write_keys(encoder, keys)?;
                write_agents(encoder, agents)?;
                encoder.array(origins.len() as u64)?;
                origins.iter().try_for_each(|origin| encoder.str(&origin.to_string())?.ok())
            }
            Self::Origins { origins } => {
                encoder.array(2)?.u8(number::ORIGINS)?.array(origins.len() as u64)?;
                origins.iter().try_for_each(|ruled| {
                    encoder.array(2)?.str(&ruled.origin.to_string())?.bool(ruled.plain)?.ok()
                })
            }
            Self::Ending => encoder.array(1)?.u8(number::ENDING)?.ok(),
            Self::Waiting => encoder.array(1)?.u8(number::WAITING)?.ok(),
            Self::Agent { known_hosts, git_keys } => {
                encoder.array(3)?.u8(number::AGENT)?.array(known_hosts.len() as u64)?;
                known_hosts.iter().try_for_each(|line| encoder.str(line.as_str())?.ok())?;
                encoder.array(git_keys.len() as u64)?;
                git_keys.iter().try_for_each(|git_key| {
                    encoder.array(2)?.str(&git_key.repository.to_string())?.bytes(&git_key.key)?.ok()
                })
            }
            Self::Identities { fixed, identities } => {
                encoder.array(3)?.u8(number::IDENTITIES)?.bool(*fixed)?.array(identities.len() as u64)?;
                identities.iter().try_for_each(|identity| {
                    encoder.array(2)?.bytes(&identity.key)?.bytes(&identity.comment)?.ok()
                })
            }
            Self::Answer { channel, answer, refusal } => encoder
                .array(4)?
                .u8(number::ANSWER)?
                .u32(*channel)?
                .bytes(answer)?
                .str(cut(refusal.raw()))?
                .ok(),
        }
    }
}

fn git_key(decoder: &mut Decoder<'_>) -> Result<GitKey, Unreadable> {
    expect_array(decoder, 2)?;
    let repository = decoder.str()?.parse().map_err(|_| WireError::Alphabet("repository"))?;
    Ok(GitKey { repository, key: public_key(decoder)? })
}

fn identity(decoder: &mut Decoder<'_>) -> Result<Identity, Unreadable> {
    expect_array(decoder, 2)?;
    let key = public_key(decoder)?;
    let comment = decoder.bytes()?;
    up_to(comment.len() as u64, ("comment", MAX_COMMENT as u64))?;
    Ok(Identity { key, comment: comment.to_vec() })
}
