//! The client's first words.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::SessionId;
use super::field::{agent, expect_array, key, session_id, write_keys};
use crate::agent::AgentId;
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::key::Key;
use crate::limits::{MAX_AGENT_ID, MAX_HELLO, MAX_KEYS_PER_GET};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets and agents: a session, which counts.
    Session,
    /// `test`: what does the bridge offer? Not a session.
    Test,
    /// `kill`: end the bridge.
    Kill,
}

impl Purpose {
    pub const ALL: [Self; 3] = [Self::Session, Self::Test, Self::Kill];

    /// Its number in a hello.
    pub fn number(self) -> u8 {
        match self {
            Self::Session => 0,
            Self::Test => 1,
            Self::Kill => 2,
        }
    }
}

/// The client's first words, in the header [`HELLO_HEADER`](super::HELLO_HEADER) of the upgrade request, so that the answers can follow
/// the 101 without another round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The session that a redial continues.
    pub resume: Option<SessionId>,
    /// Secrets wanted; they are the requests 0, 1, 2, …
    pub keys: Vec<Key>,
    /// The agent wanted. A bridge that does not offer it says so by its `welcome`.
    pub agent: Option<AgentId>,
}

impl Hello {
    /// As header value: base64url, without padding, of its CBOR.
    pub fn to_header(&self) -> String {
        URL_SAFE_NO_PAD.encode(cbor::encode(self))
    }

    /// Reads a header value.
    ///
    /// # Errors
    /// [`WireError`] if it is over [`MAX_HELLO`] or not a hello in its one form.
    pub fn from_header(value: &str) -> Result<Self, WireError> {
        if value.len() > MAX_HELLO {
            return Err(WireError::OverLimit { what: "hello", limit: MAX_HELLO as u64 });
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).map_err(|_| WireError::NotCanonical(Self::NAME))?;
        cbor::decode(&bytes)
    }

    /// How many of `keys`, from the first on, fit into one hello.
    pub fn capacity(keys: &[Key]) -> usize {
        // Purpose, session id and heads are below 32 bytes; a key's head is at most 2.
        let mut room = (MAX_HELLO / 4 * 3 - 32 - MAX_AGENT_ID) as isize;
        keys.iter()
            .take(MAX_KEYS_PER_GET)
            .take_while(|key| {
                room -= 2 + key.as_str().len() as isize;
                room >= 0
            })
            .count()
    }
}

impl<'b> Canonical<'b> for Hello {
    const NAME: &'static str = "a hello";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        expect_array(decoder, 4)?;
        let number = decoder.u8()?;
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.number() == number);
        let purpose = purpose.ok_or(Unreadable::Shape)?;
        let resume = if decoder.datatype()? == Type::Null {
            decoder.null()?;
            None
        } else {
            Some(session_id(decoder)?)
        };
        let keys = cbor::list(decoder, ("keys", MAX_KEYS_PER_GET), key)?;
        let agent = if decoder.datatype()? == Type::Null {
            decoder.null()?;
            None
        } else {
            Some(agent(decoder)?)
        };
        Ok(Self { purpose, resume, keys, agent })
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        encoder.array(4)?.u8(self.purpose.number())?;
        match &self.resume {
            None => encoder.null()?,
            Some(id) => encoder.bytes(&id.0)?,
        };
        write_keys(encoder, &self.keys)?;
        match &self.agent {
            None => encoder.null()?.ok(),
            Some(agent) => encoder.str(agent.as_str())?.ok(),
        }
    }
}
