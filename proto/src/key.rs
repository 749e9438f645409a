//! Keys: the names of secrets, and the prefixes that say in which form a value comes or is wanted.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::conf::looks_like_conf;
use crate::error::KeyError;
use crate::limits::MAX_KEY;
use crate::secret::Secret;

/// The name of a secret: 1 to 128 characters of `A-Z a-z 0-9 . _ / -`. Needs no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            Err(KeyError::Empty)
        } else if text.len() > MAX_KEY {
            Err(KeyError::TooLong)
        } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError::Alphabet)
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a value is written where a key has a prefix: the host decodes what a source yields, the client encodes what
/// it delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// No prefix: the bytes as they are.
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

/// A value that is not what its prefix says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its value is not valid {0}")]
pub struct NotEncoded(&'static str);

impl Encoding {
    const PREFIXES: [(&'static str, Self); 4] = [
        ("b64", Self::Base64),
        ("b64u", Self::Base64Url),
        ("rb64", Self::RawBase64),
        ("rb64u", Self::RawBase64Url),
    ];

    /// The base64 dialect of this prefix; `None` for the bytes as they are.
    pub fn engine(self) -> Option<&'static base64::engine::GeneralPurpose> {
        match self {
            Self::Plain => None,
            Self::Base64 => Some(&STANDARD),
            Self::Base64Url => Some(&URL_SAFE),
            Self::RawBase64 => Some(&STANDARD_NO_PAD),
            Self::RawBase64Url => Some(&URL_SAFE_NO_PAD),
        }
    }

    /// Length of `length` bytes once they are written in this form.
    pub fn encoded_len(self, length: u64) -> u64 {
        match self {
            Self::Plain => length,
            Self::Base64 | Self::Base64Url => length.div_ceil(3).saturating_mul(4),
            Self::RawBase64 | Self::RawBase64Url => length.saturating_mul(4).div_ceil(3),
        }
    }

    /// `secret` written in this form.
    pub fn encode(self, secret: Secret) -> Secret {
        match self.engine() {
            None => secret,
            Some(engine) => Secret::from(engine.encode(secret.expose())),
        }
    }

    /// What `secret` says in this form. White space (a file's last newline, wrapped lines) is ignored.
    ///
    /// # Errors
    /// [`NotEncoded`], which names the form and not the value.
    pub fn decode(self, secret: Secret) -> Result<Secret, NotEncoded> {
        let Some(engine) = self.engine() else { return Ok(secret) };
        let text: Zeroizing<Vec<u8>> =
            Zeroizing::new(secret.expose().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect());
        engine.decode(&*text).map(Secret::new).map_err(|_| NotEncoded(self.name()))
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
    /// From the prefix.
    pub encoding: Encoding,
    /// The key itself.
    pub key: Key,
}

impl FromStr for KeyForm {
    type Err = KeyError;

    /// What a person writes. A conf in the place of a key is a slip that must not end up in messages, as keys do.
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
    fn each_prefix_writes_its_own_dialect() {
        let bytes = || Secret::new(vec![0xfb, 0xff, 0xfe, 0x01]);
        for (text, expected) in
            [("b64:k", "+//+AQ=="), ("b64u:k", "-__-AQ=="), ("rb64:k", "+//+AQ"), ("rb64u:k", "-__-AQ")]
        {
            assert_eq!(form(text).encoding.encode(bytes()).expose(), expected.as_bytes());
        }
    }

    #[test]
    fn unknown_prefixes_and_alphabets_are_errors() {
        assert_eq!("b32:k".parse::<KeyForm>(), Err(KeyError::UnknownPrefix));
        assert_eq!("b64:".parse::<KeyForm>(), Err(KeyError::Empty));
        assert_eq!("sb1_AAAA".parse::<KeyForm>(), Err(KeyError::Conf));
        assert_eq!("k k".parse::<KeyForm>(), Err(KeyError::Alphabet));
        assert_eq!("k".repeat(129).parse::<Key>(), Err(KeyError::TooLong));
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
