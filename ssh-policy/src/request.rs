//! A client's request, parsed to its last byte. Every kind of request has a name here, so that there must be a verdict on
//! it.
//!
//! Of requests that are refused by their kind only the kind is read. What they carry may be a private key or a
//! passphrase; our own client does not even send it.

use std::fmt;

use proto::agent::{Malformed, Reader, SESSION_BIND, number};
use proto::escape;

use crate::sign_request::SignRequest;

/// What a client asks of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    List,
    Sign(SignRequest<'a>),
    /// A session-bind: what follows the name of the extension.
    Bind(&'a [u8]),
    /// A change of the agent's keys, or of whether it answers.
    Change(Change),
    Other(Other<'a>),
}

/// A request that would change the agent. `Ssh1` are those of SSH version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    AddKey,
    AddConstrainedKey,
    RemoveKey,
    RemoveAllKeys,
    AddSmartcard,
    AddConstrainedSmartcard,
    RemoveSmartcard,
    Lock,
    Unlock,
    AddSsh1Key,
    AddConstrainedSsh1Key,
    RemoveSsh1Key,
    RemoveAllSsh1Keys,
}

/// A request that is not supported, and is not known to be a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other<'a> {
    ListSsh1Keys,
    Ssh1Challenge,
    /// The name of an extension other than session-bind.
    Extension(&'a [u8]),
    /// An unknown message number.
    Unknown(u8),
}

impl<'a> Request<'a> {
    /// Parses a message, given without its length prefix.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        let kind = reader.u8()?;
        Ok(match kind {
            number::REQUEST_IDENTITIES => {
                reader.finish()?;
                Self::List
            }
            number::SIGN_REQUEST => Self::Sign(SignRequest::read(reader)?),
            number::EXTENSION => match reader.string()? {
                SESSION_BIND => Self::Bind(reader.rest()),
                name => Self::Other(Other::Extension(name)),
            },
            number::ADD_IDENTITY => Self::Change(Change::AddKey),
            number::ADD_ID_CONSTRAINED => Self::Change(Change::AddConstrainedKey),
            number::REMOVE_IDENTITY => Self::Change(Change::RemoveKey),
            number::REMOVE_ALL_IDENTITIES => Self::Change(Change::RemoveAllKeys),
            number::ADD_SMARTCARD_KEY => Self::Change(Change::AddSmartcard),
            number::ADD_SMARTCARD_KEY_CONSTRAINED => Self::Change(Change::AddConstrainedSmartcard),
            number::REMOVE_SMARTCARD_KEY => Self::Change(Change::RemoveSmartcard),
            number::LOCK => Self::Change(Change::Lock),
            number::UNLOCK => Self::Change(Change::Unlock),
            number::ADD_RSA_IDENTITY => Self::Change(Change::AddSsh1Key),
            number::ADD_RSA_ID_CONSTRAINED => Self::Change(Change::AddConstrainedSsh1Key),
            number::REMOVE_RSA_IDENTITY => Self::Change(Change::RemoveSsh1Key),
            number::REMOVE_ALL_RSA_IDENTITIES => Self::Change(Change::RemoveAllSsh1Keys),
            number::REQUEST_RSA_IDENTITIES => Self::Other(Other::ListSsh1Keys),
            number::RSA_CHALLENGE => Self::Other(Other::Ssh1Challenge),
            unknown => Self::Other(Other::Unknown(unknown)),
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddKey => "add a key",
            Self::AddConstrainedKey => "add a constrained key",
            Self::RemoveKey => "remove a key",
            Self::RemoveAllKeys => "remove all keys",
            Self::AddSmartcard => "add a smartcard",
            Self::AddConstrainedSmartcard => "add a constrained smartcard",
            Self::RemoveSmartcard => "remove a smartcard",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::AddSsh1Key => "add a key of SSH 1",
            Self::AddConstrainedSsh1Key => "add a constrained key of SSH 1",
            Self::RemoveSsh1Key => "remove a key of SSH 1",
            Self::RemoveAllSsh1Keys => "remove all keys of SSH 1",
        })
    }
}

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListSsh1Keys => f.write_str("list keys of SSH 1"),
            Self::Ssh1Challenge => f.write_str("challenge of SSH 1"),
            Self::Extension(name) => write!(f, "extension {}", escape(&String::from_utf8_lossy(name))),
            Self::Unknown(number) => write!(f, "number {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::agent::Writer;

    use super::*;
    use crate::testing::sign_request_with;

    #[test]
    fn three_kinds_of_request_are_permissible() {
        for kind in 0..=u8::MAX {
            let message = [kind];
            match Request::parse(&message) {
                Ok(Request::List) => assert_eq!(kind, 11),
                Ok(Request::Sign(_) | Request::Bind(_)) => panic!("{kind} passes without anything in it"),
                Ok(Request::Change(_)) => assert!(matches!(kind, 7..=9 | 17..=26), "{kind}"),
                Ok(Request::Other(Other::Unknown(number))) => assert_eq!(number, kind),
                Ok(Request::Other(_)) => assert!(matches!(kind, 1 | 3), "{kind}"),
                Err(Malformed) => assert!(matches!(kind, 13 | 27), "{kind}"),
            }
        }
    }

    #[test]
    fn the_payload_of_a_refused_request_is_not_kept() {
        let passphrase = [&[23][..], b"\0\0\0\x06secret"].concat();
        assert_eq!(Request::parse(&passphrase), Ok(Request::Change(Change::Unlock)));
        let mut query = Writer::new(27);
        query.string(b"query\x1b[2J").string(b"secret");
        let query = query.finish();
        let Ok(Request::Other(other)) = Request::parse(&query) else { panic!() };
        assert_eq!(other.to_string(), "extension query\\u{1b}[2J");
    }

    #[test]
    fn a_request_is_parsed_to_its_last_byte() {
        let sign = sign_request_with(b"key", b"data", 4);
        assert!(matches!(Request::parse(&sign), Ok(Request::Sign(_))));
        assert_eq!(Request::parse(&[sign, vec![0]].concat()), Err(Malformed));
        assert_eq!(Request::parse(&[number::REQUEST_IDENTITIES, 0]), Err(Malformed));
        assert_eq!(Request::parse(&[]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_input_panics(message: Vec<u8>) {
            let _ = Request::parse(&message);
        }
    }
}
