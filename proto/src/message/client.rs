//! Messages from client to bridge.

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::field::{agent_message, key, request, write_keys};
use super::number;
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::key::Key;
use crate::limits::MAX_KEYS_PER_GET;

/// A message from client to bridge, after the 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage<'b> {
    /// `[1, first, [key …]]`: requests more secrets, as the requests `first`, `first + 1`, …
    Get {
        /// One more than the highest request so far.
        first: u32,
        /// At least one.
        keys: Vec<Key>,
    },
    /// `[2, channel, message]`: a message for the agent. The first one opens the channel. Every message but a
    /// session-bind is answered, and nothing may follow it on its channel before the answer.
    Agent {
        /// A channel that is open, or one more than the highest one so far.
        channel: u32,
        /// 1 to [`MAX_MESSAGE`](crate::limits::MAX_MESSAGE) bytes. Of messages that change an agent a client sends only
        /// the number: the bridge refuses them, and the rest may hold a private key.
        message: &'b [u8],
    },
    /// `[3, channel]`: closes a channel; the bridge abandons what it does for it.
    Close { channel: u32 },
    /// `[4]`: asks for the agent's keys again. `identities` follows if they have changed.
    ListAgain,
}

impl<'b> ClientMessage<'b> {
    /// Number and name of every message, as in `docs/PROTOCOL.md`.
    pub const NUMBERS: [(u8, &'static str); 4] = [
        (number::GET, "get"),
        (number::AGENT_MESSAGE, "agent-message"),
        (number::CLOSE, "close"),
        (number::LIST_AGAIN, "list-again"),
    ];

    /// The payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the payload of one binary frame.
    ///
    /// # Errors
    /// After a [`WireError`] the connection must be closed.
    pub fn decode(payload: &'b [u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

impl<'b> Canonical<'b> for ClientMessage<'b> {
    const NAME: &'static str = "a client message";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (number::GET, 3) => {
                let first = request(decoder)?;
                let keys = cbor::list(decoder, ("keys", MAX_KEYS_PER_GET), key)?;
                if keys.is_empty() { Err(Unreadable::Shape) } else { Ok(Self::Get { first, keys }) }
            }
            (number::AGENT_MESSAGE, 3) => {
                Ok(Self::Agent { channel: decoder.u32()?, message: agent_message(decoder)? })
            }
            (number::CLOSE, 2) => Ok(Self::Close { channel: decoder.u32()? }),
            (number::LIST_AGAIN, 1) => Ok(Self::ListAgain),
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Get { first, keys } => {
                encoder.array(3)?.u8(number::GET)?.u32(*first)?;
                write_keys(encoder, keys)
            }
            Self::Agent { channel, message } => {
                encoder.array(3)?.u8(number::AGENT_MESSAGE)?.u32(*channel)?.bytes(message)?.ok()
            }
            Self::Close { channel } => encoder.array(2)?.u8(number::CLOSE)?.u32(*channel)?.ok(),
            Self::ListAgain => encoder.array(1)?.u8(number::LIST_AGAIN)?.ok(),
        }
    }
}
