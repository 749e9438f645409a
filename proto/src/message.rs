//! The messages, their numbers, and the upgrade request that carries the first of them.
//!
//! A message is one binary websocket frame holding one CBOR array; its first item says which message it is. Numbers
//! below 16 go from client to bridge, the others from bridge to client.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::escape::Untrusted;
use crate::key::Key;
use crate::limits::{
    CHUNK, MAX_AGENT_ID, MAX_DETAIL, MAX_HELLO, MAX_KEYS_PER_GET, MAX_OFFERS, MAX_REQUESTS, MAX_SECRET,
};

/// The websocket subprotocol, with its version.
pub const SUBPROTOCOL: &str = "secrets-bridge.v1";

/// Header of the upgrade request that carries the [`Hello`].
pub const HELLO_HEADER: &str = "secrets-bridge-hello";

/// Path of the upgrade request.
pub const PATH: &str = "/";

/// Names one session, over redials. Random; of no use without the client key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

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

/// The client's first words, in the header [`HELLO_HEADER`] of the upgrade request, so that the answers can follow
/// the 101 without another round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The session that a redial continues.
    pub resume: Option<SessionId>,
    /// Secrets wanted; they are the requests 0, 1, 2, …
    pub keys: Vec<Key>,
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
        // Purpose, session id and list heads are below 32 bytes; a key's head is at most 2.
        let mut room = (MAX_HELLO / 4 * 3 - 32) as isize;
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
        expect_array(decoder, 3)?;
        let purpose = match decoder.u8()? {
            0 => Purpose::Session,
            1 => Purpose::Test,
            2 => Purpose::Kill,
            _ => return Err(Unreadable::Shape),
        };
        let resume = if decoder.datatype()? == Type::Null {
            decoder.null()?;
            None
        } else {
            Some(session_id(decoder)?)
        };
        let keys = cbor::list(decoder, ("keys", MAX_KEYS_PER_GET), key)?;
        Ok(Self { purpose, resume, keys })
    }

    fn write(&self, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
        encoder.array(3)?.u8(match self.purpose {
            Purpose::Session => 0,
            Purpose::Test => 1,
            Purpose::Kill => 2,
        })?;
        match &self.resume {
            None => encoder.null()?,
            Some(id) => encoder.bytes(&id.0)?,
        };
        write_keys(encoder, &self.keys)
    }
}

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

    fn write(&self, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
        match self {
            Self::Get { first, keys } => {
                encoder.array(3)?.u8(1)?.u32(*first)?;
                write_keys(encoder, keys)
            }
        }
    }
}

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

    fn write(&self, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
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

/// Why the bridge answers an upgrade request with an HTTP status and not with 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeRefusal {
    /// 400: no subprotocol or hello that this version knows.
    Malformed,
    /// 403: `kill`, and the bridge forbids it.
    KillForbidden,
    /// 404: a redial names a session that has ended.
    SessionEnded,
    /// 410: `--once` or `--max-sessions` is used up.
    SessionsUsedUp,
    /// 503: too many sessions at once.
    Busy,
    /// 507: the audit record could not be written.
    AuditFailed,
}

impl UpgradeRefusal {
    const ALL: [Self; 6] = [
        Self::Malformed,
        Self::KillForbidden,
        Self::SessionEnded,
        Self::SessionsUsedUp,
        Self::Busy,
        Self::AuditFailed,
    ];

    /// The HTTP status that says so.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::KillForbidden => 403,
            Self::SessionEnded => 404,
            Self::SessionsUsedUp => 410,
            Self::Busy => 503,
            Self::AuditFailed => 507,
        }
    }

    /// What an HTTP status means, if it is one of ours.
    pub fn from_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.status() == status)
    }

    /// What it means, in a few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the bridge does not understand this client: use the same release on both sides"
            }
            Self::KillForbidden => "this bridge does not let clients end it (`run`, or --no-kill)",
            Self::SessionEnded => "the session to continue has ended",
            Self::SessionsUsedUp => "the bridge has admitted all its sessions (--once or --max-sessions)",
            Self::Busy => "the bridge has too many sessions at once",
            Self::AuditFailed => "the host cannot write its audit record, so it gives nothing",
        }
    }
}

fn expect_array(decoder: &mut Decoder<'_>, items: u64) -> Result<(), Unreadable> {
    if cbor::array(decoder)? == items { Ok(()) } else { Err(Unreadable::Shape) }
}

fn up_to(value: u64, (what, limit): (&'static str, u64)) -> Result<u64, Unreadable> {
    if value > limit { Err(WireError::OverLimit { what, limit }.into()) } else { Ok(value) }
}

fn request(decoder: &mut Decoder<'_>) -> Result<u32, Unreadable> {
    let request = decoder.u32()?;
    up_to(request.into(), ("requests", (MAX_REQUESTS - 1).into()))?;
    Ok(request)
}

fn session_id(decoder: &mut Decoder<'_>) -> Result<SessionId, Unreadable> {
    decoder.bytes()?.try_into().map(SessionId).map_err(|_| Unreadable::Shape)
}

fn key(decoder: &mut Decoder<'_>) -> Result<Key, Unreadable> {
    decoder.str()?.parse().map_err(|_| WireError::Alphabet("a key").into())
}

fn agents(decoder: &mut Decoder<'_>) -> Result<Vec<String>, Unreadable> {
    cbor::list(decoder, ("agents", MAX_OFFERS), |decoder| {
        let id = decoder.str()?;
        up_to(id.len() as u64, ("agent id", MAX_AGENT_ID as u64))?;
        // An agent id has a key's alphabet, so that it needs no escaping either.
        id.parse::<Key>().map(|_| id.to_owned()).map_err(|_| WireError::Alphabet("an agent id").into())
    })
}

fn write_keys(encoder: &mut Encoder<&mut Vec<u8>>, keys: &[Key]) -> Written {
    encoder.array(keys.len() as u64)?;
    keys.iter().try_for_each(|key| encoder.str(key.as_str())?.ok())
}

fn write_texts(encoder: &mut Encoder<&mut Vec<u8>>, texts: &[String]) -> Written {
    encoder.array(texts.len() as u64)?;
    texts.iter().try_for_each(|text| encoder.str(text)?.ok())
}

/// The longest start of `text` within [`MAX_DETAIL`].
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn longer_forms_and_trailing_bytes_are_refused() {
        let good = HostMessage::Length { request: 1, length: 5 }.encode();
        assert_eq!(good, [0x83, 0x11, 0x01, 0x05]);
        for bad in [
            &[0x83, 0x11, 0x01, 0x05, 0x00][..],
            &[0x83, 0x18, 0x11, 0x01, 0x05],
            &[0x83, 0x11, 0x01, 0x18, 0x05],
            &[0x9f, 0x11, 0x01, 0x05, 0xff],
            &[0x84, 0x11, 0x01, 0x05, 0x00],
            &[0x83, 0x11, 0x01],
        ] {
            assert!(HostMessage::decode(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn announced_lengths_over_the_limit_are_refused() {
        let huge = HostMessage::Length { request: 0, length: MAX_SECRET + 1 }.encode();
        assert_eq!(
            HostMessage::decode(&huge),
            Err(WireError::OverLimit { what: "secret", limit: MAX_SECRET })
        );
    }

    #[test]
    fn what_capacity_admits_fits_into_the_header() {
        for length in [1, 23, 24, 128] {
            let many: Vec<Key> = (0..5000).map(|_| "k".repeat(length).parse().unwrap()).collect();
            let fit = Hello::capacity(&many);
            let hello = Hello {
                purpose: Purpose::Session,
                resume: Some(SessionId([7; 16])),
                keys: many[..fit].to_vec(),
            };
            assert_eq!(Hello::from_header(&hello.to_header()).unwrap(), hello, "length {length}, {fit} keys");
        }
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let refused = HostMessage::Refused {
            request: 0,
            reason: RefusalReason::SourceFailed,
            detail: Untrusted::new("é".repeat(2000)),
        };
        assert!(matches!(HostMessage::decode(&refused.encode()), Ok(HostMessage::Refused { .. })));
    }

    #[test]
    fn every_message_survives_a_round_trip_and_no_prefix_of_it_does() {
        let messages = [
            HostMessage::Welcome { session: SessionId([1; 16]), agents: vec!["default".into()] },
            HostMessage::Length { request: 3, length: 70_000 },
            HostMessage::Chunk { request: 3, bytes: b"abc" },
            HostMessage::Refused { request: 4, reason: RefusalReason::Unknown, detail: Untrusted::default() },
            HostMessage::Offers { keys: keys(&["a", "b/c"]), agents: vec![] },
            HostMessage::Ending,
        ];
        for message in messages {
            let bytes = message.encode();
            assert_eq!(HostMessage::decode(&bytes), Ok(message));
            for end in 0..bytes.len() {
                assert!(HostMessage::decode(&bytes[..end]).is_err());
            }
        }
        let get = ClientMessage::Get { first: 9, keys: keys(&["x"]) };
        assert_eq!(ClientMessage::decode(&get.encode()), Ok(get));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_meaning(bytes: Vec<u8>) {
            if let Ok(message) = HostMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes.clone());
            }
            if let Ok(message) = ClientMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn arbitrary_headers_never_panic(value in "[ -~]{0,200}") {
            let _ = Hello::from_header(&value);
        }
    }
}
