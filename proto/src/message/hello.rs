//! The hello: what a client asks for in its upgrade request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::field::{agent, expect_array, key, session_id, write_keys};
use super::session_id::SessionId;
use crate::agent::AgentId;
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::key::Key;
use crate::limits::{MAX_AGENT_ID, MAX_HELLO, MAX_KEYS_PER_GET};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets and agents: a session, which counts for `--once` and `--max-sessions`.
    Session,
    /// `test`: list what the bridge offers. Not a session.
    Test,
    /// `kill`: end the bridge.
    Kill,
    /// A further connection of a session that has one, for HTTP requests. It does not count as a session or as a redial.
    Stream,
}

impl Purpose {
    pub const ALL: [Self; 4] = [Self::Session, Self::Test, Self::Kill, Self::Stream];

    /// Its number in a hello.
    pub fn number(self) -> u8 {
        match self {
            Self::Session => 0,
            Self::Test => 1,
            Self::Kill => 2,
            Self::Stream => 3,
        }
    }
}

/// What a client asks for, in the header [`HELLO_HEADER`](crate::HELLO_HEADER) of the upgrade request, so that the
/// answers can follow the 101 without another round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub purpose: Purpose,
    /// The session, the same in each of its hellos. A bridge on which it has not ended continues it, so a hello that is
    /// repeated because its answer was lost counts once. [`SessionId::NONE`] for `test` and `kill`.
    pub session: SessionId,
    /// Whether the client had a `welcome` for this session. Then the bridge refuses the hello if the session has ended;
    /// otherwise it begins a new one.
    pub resume: bool,
    /// The session whose COMMAND started this client. That session holds a place already and waits for this one.
    pub parent: Option<SessionId>,
    /// Secrets requested, as the requests 0, 1, 2, …
    pub keys: Vec<Key>,
    /// The agent requested. A bridge that does not offer it leaves it out of its `welcome`.
    pub agent: Option<AgentId>,
    /// Whether the client asks for the origins that have rules, because COMMAND is to get at them.
    pub http: bool,
}

impl Hello {
    /// The hello of a purpose that is not a session.
    pub fn without_session(purpose: Purpose) -> Self {
        Self {
            purpose,
            session: SessionId::NONE,
            resume: false,
            parent: None,
            keys: Vec::new(),
            agent: None,
            http: false,
        }
    }

    /// The header value: base64url, without padding, of the CBOR.
    pub fn to_header(&self) -> String {
        URL_SAFE_NO_PAD.encode(cbor::encode(self))
    }

    pub fn from_header(value: &str) -> Result<Self, WireError> {
        if value.len() > MAX_HELLO {
            return Err(WireError::OverLimit { what: "hello", limit: MAX_HELLO as u64 });
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).map_err(|_| WireError::NotCanonical(Self::NAME))?;
        cbor::decode(&bytes)
    }

    /// How many of `keys`, counted from the first, fit into one hello.
    pub fn capacity(keys: &[Key]) -> usize {
        // Purpose, two session ids and CBOR heads take 43 bytes; a key's head at most 2.
        let mut room = (MAX_HELLO / 4 * 3 - 43 - MAX_AGENT_ID) as isize;
        keys.iter()
            .take(MAX_KEYS_PER_GET)
            .take_while(|key| {
                room -= 2 + key.as_str().len() as isize;
                room >= 0
            })
            .count()
    }
}

impl Hello {
    /// Whether all fields fit the purpose: one meaning has one form.
    fn is_consistent(&self) -> bool {
        match self.purpose {
            Purpose::Session => {
                let is_other = |parent| parent != SessionId::NONE && parent != self.session;
                self.session != SessionId::NONE && self.parent.is_none_or(is_other)
            }
            Purpose::Test | Purpose::Kill => *self == Self::without_session(self.purpose),
            Purpose::Stream => {
                self.session != SessionId::NONE
                    && *self == Self { session: self.session, ..Self::without_session(Purpose::Stream) }
            }
        }
    }
}

impl<'b> Canonical<'b> for Hello {
    const NAME: &'static str = "a hello";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        expect_array(decoder, 7)?;
        let number = decoder.u8()?;
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.number() == number);
        let purpose = purpose.ok_or(Unreadable::Shape)?;
        let session = session_id(decoder)?;
        let resume = decoder.bool()?;
        let parent = if decoder.datatype()? == Type::Null {
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
        let http = decoder.bool()?;
        let hello = Self { purpose, session, resume, parent, keys, agent, http };
        if hello.is_consistent() { Ok(hello) } else { Err(Unreadable::Shape) }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        encoder.array(7)?.u8(self.purpose.number())?.bytes(&self.session.0)?.bool(self.resume)?;
        match &self.parent {
            None => encoder.null()?,
            Some(id) => encoder.bytes(&id.0)?,
        };
        write_keys(encoder, &self.keys)?;
        match &self.agent {
            None => encoder.null()?,
            Some(agent) => encoder.str(agent.as_str())?,
        };
        encoder.bool(self.http)?.ok()
    }
}
