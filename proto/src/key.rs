//! Keys, the names of secrets, and their prefixes, which say how a value is encoded at its source or delivered.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::conf::looks_like_conf;
use crate::error::{DecodeError, KeyError, NameError};
use crate::limits::MAX_KEY;
use crate::secret::Secret;

/// The name of a secret: 1 to 128 characters of `A-Z a-z 0-9 . _ / -`. Needs no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Whether `text` can name a secret or an agent.
pub(crate) fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > MAX_KEY {
        Err(NameError::TooLong)
    } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b)) {
        Ok(())
    } else {
        Err(NameError::Alphabet)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the prefix of a key says: the host decodes what a source yields, the client encodes what it delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// No prefix: the bytes unchanged.
    Plain,
    /// `b64:`, base64 with padding (RFC 4648, 4).
    Base64,
    /// `b64u:`, base64url with padding (RFC 4648, 5).
    Base64Url,
    /// `rb64:`, base64 without padding.
    RawBase64,
    /// `rb64u:`, base64url without padding.
    RawBase64Url,
}

impl Encoding {
    const PREFIXES: [(&'static str, Self); 4] = [
        ("b64", Self::Base64),
        ("b64u", Self::Base64Url),
        ("rb64", Self::RawBase64),
        ("rb64u", Self::RawBase64Url),
    ];

    /// The base64 dialect of this prefix; `None` for [`Self::Plain`].
    pub fn engine(self) -> Option<&'static base64::engine::GeneralPurpose> {
        match self {
            Self::Plain => None,
            Self::Base64 => Some(&STANDARD),
            Self::Base64Url => Some(&URL_SAFE),
            Self::RawBase64 => Some(&STANDARD_NO_PAD),
            Self::RawBase64Url => Some(&URL_SAFE_NO_PAD),
        }
    }

    /// Length of `length` bytes once they are encoded.
    pub fn encoded_len(self, length: u64) -> u64 {
        match self {
            Self::Plain => length,
            Self::Base64 | Self::Base64Url => length.div_ceil(3).saturating_mul(4),
            Self::RawBase64 | Self::RawBase64Url => length.saturating_mul(4).div_ceil(3),
        }
    }

    pub fn encode(self, secret: Secret) -> Secret {
        match self.engine() {
            None => secret,
            Some(engine) => Secret::from(engine.encode(secret.expose())),
        }
    }

    /// Ignores white space (a file's last newline, wrapped lines).
    ///
    /// # Errors
    /// [`DecodeError`], which names the encoding and not the value.
    pub fn decode(self, secret: Secret) -> Result<Secret, DecodeError> {
        let Some(engine) = self.engine() else { return Ok(secret) };
        let text: Zeroizing<Vec<u8>> =
            Zeroizing::new(secret.expose().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect());
        engine.decode(&*text).map(Secret::new).map_err(|_| DecodeError(self.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::RawBase64 => "base64 without padding",
            Self::RawBase64Url => "base64url without padding",
        }
    }
}

/// A key with its optional prefix, as written on a command line: `KEY` or `b64:KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyForm {
    pub encoding: Encoding,
    pub key: Key,
}

impl FromStr for KeyForm {
    type Err = KeyError;

    /// Rejects a conf, which a user may have put in the place of a key: messages show keys, and must not show a conf.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if looks_like_conf(text) {
            return Err(KeyError::Conf);
        }
        let Some((prefix, key)) = text.split_once(':') else {
            return Ok(Self { encoding: Encoding::Plain, key: text.parse()? });
        };
        let encoding = Encoding::PREFIXES.iter().find(|(name, _)| *name == prefix).map(|(_, e)| *e);
        Ok(Self { encoding: encoding.ok_or(KeyError::UnknownPrefix)?, key: key.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(text: &str) -> KeyForm {
        text.parse().unwrap()
    }

    #[test]
    fn each_prefix_has_its_own_dialect() {
        let bytes = || Secret::new(vec![0xfb, 0xff, 0xfe, 0x01]);
        for (text, expected) in
            [("b64:k", "+//+AQ=="), ("b64u:k", "-__-AQ=="), ("rb64:k", "+//+AQ"), ("rb64u:k", "-__-AQ")]
        {
            assert_eq!(form(text).encoding.encode(bytes()).expose(), expected.as_bytes());
        }
    }

    #[test]
    fn invalid_keys_and_unknown_prefixes_are_errors() {
        assert_eq!("b32:k".parse::<KeyForm>(), Err(KeyError::UnknownPrefix));
        assert_eq!("b64:".parse::<KeyForm>(), Err(KeyError::Name(NameError::Empty)));
        assert_eq!("sb1_AAAA".parse::<KeyForm>(), Err(KeyError::Conf));
        assert_eq!("k k".parse::<KeyForm>(), Err(KeyError::Name(NameError::Alphabet)));
        assert_eq!("k".repeat(129).parse::<Key>(), Err(KeyError::Name(NameError::TooLong)));
        assert!("k".repeat(128).parse::<Key>().is_ok());
    }

    #[test]
    fn a_base64_file_may_be_wrapped_and_end_in_a_newline() {
        let value = form("b64:k").encoding.decode(Secret::from("aGVs\nbG8=\n".to_owned())).unwrap();
        assert_eq!(value.expose(), b"hello");
        assert!(form("b64:k").encoding.decode(Secret::from("-__-AQ==".to_owned())).is_err());
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>, index in 0usize..4) {
            let encoding = Encoding::PREFIXES[index].1;
            let encoded = encoding.encode(Secret::new(bytes.clone()));
            prop_assert_eq!(encoded.len() as u64, encoding.encoded_len(bytes.len() as u64));
            let decoded = encoding.decode(encoded).unwrap();
            prop_assert_eq!(decoded.expose(), bytes.as_slice());
        }
    }
}
