//! What a client signs to log in with a key (RFC 4252, section 7, and OpenSSH's `PROTOCOL`, section 2.8). An agent signs
//! nothing else unless SSHSIG namespaces are allowed.

use proto::agent::{Malformed, Reader, Writer};

use crate::key::public_key::PublicKey;
use crate::session_bind::SessionId;

const USERAUTH_REQUEST: u8 = 50;
const SERVICE: &[u8] = b"ssh-connection";
const PUBLICKEY: &[u8] = b"publickey";
/// The same with the host's key in the signed data. The server compares it with its own, so the signature is worthless at
/// any other.
const PUBLICKEY_HOSTBOUND: &[u8] = b"publickey-hostbound-v00@openssh.com";

/// Longest user name, in bytes. Linux allows 32 and Windows 104.
const MAX_USER: usize = 255;

/// The data that is signed for a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login<'a> {
    pub(crate) session: SessionId<'a>,
    pub(crate) user: &'a str,
    pub(crate) algorithm: &'a [u8],
    pub(crate) key: &'a [u8],
    /// Present in a hostbound login.
    pub(crate) host_key: Option<PublicKey<'a>>,
}

/// Why data is not a [`Login`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidLogin {
    Malformed,
    /// The user name is empty, too long, not UTF-8, or has control characters.
    UserName,
}

impl From<Malformed> for InvalidLogin {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl<'a> Login<'a> {
    /// Parses the data of a sign request.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, InvalidLogin> {
        let mut reader = Reader::new(data);
        let session = SessionId::read(&mut reader)?;
        require(reader.u8()? == USERAUTH_REQUEST)?;
        let user = reader.string()?;
        require(reader.string()? == SERVICE)?;
        let is_hostbound = match reader.string()? {
            PUBLICKEY => false,
            PUBLICKEY_HOSTBOUND => true,
            _ => return Err(InvalidLogin::Malformed),
        };
        require(reader.bool()?)?;
        let (algorithm, key) = (reader.string()?, reader.string()?);
        let host_key = if is_hostbound { Some(PublicKey::parse(reader.string()?)?) } else { None };
        reader.finish()?;
        Ok(Self { session, user: user_name(user)?, algorithm, key, host_key })
    }

    /// The bytes from which it was parsed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer
            .string(self.session.0)
            .u8(USERAUTH_REQUEST)
            .string(self.user.as_bytes())
            .string(SERVICE)
            .string(if self.host_key.is_some() { PUBLICKEY_HOSTBOUND } else { PUBLICKEY })
            .bool(true)
            .string(self.algorithm)
            .string(self.key);
        if let Some(host_key) = &self.host_key {
            writer.string(&host_key.encode());
        }
        writer.finish()
    }
}

fn require(condition: bool) -> Result<(), Malformed> {
    if condition { Ok(()) } else { Err(Malformed) }
}

fn user_name(name: &[u8]) -> Result<&str, InvalidLogin> {
    let name = str::from_utf8(name).map_err(|_| InvalidLogin::UserName)?;
    if name.is_empty() || name.len() > MAX_USER || name.contains(char::is_control) {
        return Err(InvalidLogin::UserName);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{TestKey, login};

    #[test]
    fn a_login_is_parsed_to_its_last_byte() {
        let (key, host) = (TestKey::ed25519(), TestKey::p256());
        for host_key in [None, Some(&host.public()[..])] {
            let data = login(&[1; 32], "git", &key, host_key);
            let read = Login::parse(&data).unwrap();
            assert_eq!((read.user, read.session), ("git", SessionId(&[1; 32])));
            assert_eq!(read.host_key.as_ref().map(PublicKey::encode).as_deref(), host_key);
            assert_eq!((read.algorithm, read.key), (&b"ssh-ed25519"[..], &key.public()[..]));
            assert_eq!(read.encode(), data);
            for end in 0..data.len() {
                assert_eq!(Login::parse(&data[..end]), Err(InvalidLogin::Malformed));
            }
            assert_eq!(Login::parse(&[data, vec![0]].concat()), Err(InvalidLogin::Malformed));
        }
    }

    #[test]
    fn near_misses_are_not_logins() {
        let data = login(&[1; 32], "git", &TestKey::ed25519(), None);
        let swap = |from: &[u8], to: &[u8]| {
            let at = data.windows(from.len()).position(|bytes| bytes == from).unwrap();
            [&data[..at], to, &data[at + from.len()..]].concat()
        };
        assert!(Login::parse(&swap(b"git", b"gut")).is_ok());
        for changed in [
            swap(b"ssh-connection", b"ssh-connectiom"),
            swap(b"publickey", b"hostbased"),
            swap(b"\x32\0\0\0\x03git", b"\x33\0\0\0\x03git"), // another message than USERAUTH_REQUEST
            swap(b"publickey\x01", b"publickey\x00"),         // asks whether the key would be accepted
            swap(b"publickey\x01", b"publickey\x02"),
            swap(&[1; 32], &[1; 31]),
        ] {
            assert_eq!(Login::parse(&changed), Err(InvalidLogin::Malformed));
        }
        assert_eq!(
            Login::parse(&login(&[1; 20], "git", &TestKey::ed25519(), None)),
            Err(InvalidLogin::Malformed)
        );
    }

    #[test]
    fn a_user_name_must_be_printable() {
        for name in ["", "a\nb", "a\u{1b}[2J", "a\u{85}", "a\0", &"x".repeat(256)] {
            let data = login(&[1; 32], name, &TestKey::ed25519(), None);
            assert_eq!(Login::parse(&data), Err(InvalidLogin::UserName), "{name:?}");
        }
        let mut data = login(&[1; 32], "git", &TestKey::ed25519(), None);
        let at = data.windows(3).position(|bytes| bytes == b"git").unwrap();
        data[at] = 0xff;
        assert_eq!(Login::parse(&data), Err(InvalidLogin::UserName));
        let longest = "x".repeat(255);
        assert!(Login::parse(&login(&[1; 32], &longest, &TestKey::ed25519(), None)).is_ok());
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_itself(at: prop::sample::Index, byte: u8, hostbound: bool) {
            let host = TestKey::sk().public();
            let mut data = login(&[1; 32], "git", &TestKey::sk(), hostbound.then_some(&host[..]));
            let at = at.index(data.len());
            data[at] = byte;
            if let Ok(login) = Login::parse(&data) {
                prop_assert_eq!(login.encode(), data);
            }
        }

        #[test]
        fn no_input_panics(data: Vec<u8>) {
            let _ = Login::parse(&data);
        }
    }
}
