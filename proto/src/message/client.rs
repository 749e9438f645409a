//! What a client says after the 101.

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::field::{key, request, write_keys};
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::key::Key;
use crate::limits::MAX_KEYS_PER_GET;

/// What a client says after the 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// `[1, first, [key …]]`: these secrets too, as the requests `first`, `first + 1`, …
    Get {
        /// One more than the highest request so far.
        first: u32,
        /// At least one.
        keys: Vec<Key>,
    },
}

impl ClientMessage {
    /// As the payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the payload of one binary frame.
    ///
    /// # Errors
    /// [`WireError`]: the connection must be closed then.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

impl<'b> Canonical<'b> for ClientMessage {
    const NAME: &'static str = "a client's message";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (1, 3) => {
                let first = request(decoder)?;
                let keys = cbor::list(decoder, ("keys", MAX_KEYS_PER_GET), key)?;
                if keys.is_empty() { Err(Unreadable::Shape) } else { Ok(Self::Get { first, keys }) }
            }
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Get { first, keys } => {
                encoder.array(3)?.u8(1)?.u32(*first)?;
                write_keys(encoder, keys)
            }
        }
    }
}
