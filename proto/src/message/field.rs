//! Items that several messages share, each with its limit.

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::session_id::SessionId;
use crate::agent::AgentId;
use crate::cbor::{self, Unreadable, Written};
use crate::error::WireError;
use crate::http::Origin;
use crate::key::Key;
use crate::limits::{MAX_AGENT_ID, MAX_DETAIL, MAX_MESSAGE, MAX_OFFERS, MAX_PUBLIC_KEY, MAX_REQUESTS};

pub(super) fn expect_array(decoder: &mut Decoder<'_>, items: u64) -> Result<(), Unreadable> {
    if cbor::array(decoder)? == items { Ok(()) } else { Err(Unreadable::Shape) }
}

pub(super) fn up_to(value: u64, (what, limit): (&'static str, u64)) -> Result<u64, Unreadable> {
    if value > limit { Err(WireError::OverLimit { what, limit }.into()) } else { Ok(value) }
}

pub(super) fn request(decoder: &mut Decoder<'_>) -> Result<u32, Unreadable> {
    let request = decoder.u32()?;
    up_to(request.into(), ("requests", (MAX_REQUESTS - 1).into()))?;
    Ok(request)
}

pub(super) fn session_id(decoder: &mut Decoder<'_>) -> Result<SessionId, Unreadable> {
    decoder.bytes()?.try_into().map(SessionId).map_err(|_| Unreadable::Shape)
}

pub(super) fn key(decoder: &mut Decoder<'_>) -> Result<Key, Unreadable> {
    decoder.str()?.parse().map_err(|_| WireError::Alphabet("key").into())
}

pub(super) fn agent(decoder: &mut Decoder<'_>) -> Result<AgentId, Unreadable> {
    let id = decoder.str()?;
    up_to(id.len() as u64, ("agent id", MAX_AGENT_ID as u64))?;
    id.parse().map_err(|_| WireError::Alphabet("agent id").into())
}

pub(super) fn agents(decoder: &mut Decoder<'_>) -> Result<Vec<AgentId>, Unreadable> {
    cbor::list(decoder, ("agents", MAX_OFFERS), agent)
}

/// A message of the agent protocol, or an answer: 1 to [`MAX_MESSAGE`] bytes.
pub(super) fn agent_message<'b>(decoder: &mut Decoder<'b>) -> Result<&'b [u8], Unreadable> {
    let message = decoder.bytes()?;
    up_to(message.len() as u64, ("agent message", MAX_MESSAGE as u64))?;
    if message.is_empty() { Err(Unreadable::Shape) } else { Ok(message) }
}

pub(super) fn public_key(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Unreadable> {
    let key = decoder.bytes()?;
    up_to(key.len() as u64, ("public key", MAX_PUBLIC_KEY as u64))?;
    Ok(key.to_vec())
}

/// An origin in its one form.
pub(super) fn origin(decoder: &mut Decoder<'_>) -> Result<Origin, Unreadable> {
    decoder.str()?.parse().map_err(|_| WireError::Alphabet("origin").into())
}

/// `text`, cut at a character to at most [`MAX_DETAIL`] bytes.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

pub(super) fn write_keys<W: Write>(encoder: &mut Encoder<W>, keys: &[Key]) -> Written<W> {
    encoder.array(keys.len() as u64)?;
    keys.iter().try_for_each(|key| encoder.str(key.as_str())?.ok())
}

pub(super) fn write_agents<W: Write>(encoder: &mut Encoder<W>, agents: &[AgentId]) -> Written<W> {
    encoder.array(agents.len() as u64)?;
    agents.iter().try_for_each(|agent| encoder.str(agent.as_str())?.ok())
}
