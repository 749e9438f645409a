//! What can be wrong with bytes or text that this crate parses. No error carries the value.

use thiserror::Error;

use crate::limits::MAX_KEY;

/// Why a string is not a usable bridge conf. Each text is a reason, to be shown after `invalid bridge conf`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfError {
    /// Nothing, or only white space.
    #[error("empty")]
    Empty,
    /// No `sbN_` prefix: some other text, such as a proxy's URL.
    #[error("does not begin with sb1_, so it is not a bridge conf")]
    NotAConf,
    /// `sb2_` or later.
    #[error("version sb{0}, but this client reads sb1: use the same release on both sides")]
    OtherVersion(u32),
    /// Characters outside base64url, or a checksum that does not match.
    #[error("cut or mangled (its checksum does not match): copy it whole, as one word")]
    Mangled,
    /// The checksum matches but the contents are invalid: not made by a bridge of this version.
    #[error("malformed contents: {0}")]
    Malformed(WireError),
}

/// Why bytes from the peer are not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not CBOR of the expected shape, or not its shortest form, or bytes after it.
    #[error("not {0} in canonical CBOR")]
    NotCanonical(&'static str),
    /// A count or length over its limit in [`crate::limits`].
    #[error("{what} over the limit of {limit}")]
    OverLimit {
        what: &'static str,
        /// In the unit of `what`.
        limit: u64,
    },
    /// A key, agent id or endpoint outside its alphabet.
    #[error("invalid {0}")]
    Alphabet(&'static str),
}

/// Why a string cannot name a secret or an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("empty")]
    Empty,
    /// More than [`MAX_KEY`] characters.
    #[error("longer than {MAX_KEY} characters")]
    TooLong,
    #[error("only the characters A-Z a-z 0-9 . _ / - are allowed")]
    Alphabet,
}

/// Why a string is not the key of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("invalid key: {0}")]
    Name(#[from] NameError),
    /// A bridge conf where a key belongs.
    #[error("invalid key: this is a bridge conf; pass it with -c")]
    Conf,
    /// A `prefix:` other than the four that there are.
    #[error("invalid key: unknown prefix (known: b64: b64u: rb64: rb64u:)")]
    UnknownPrefix,
}

/// Why a string is not the id of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("invalid agent id: {0}")]
pub struct AgentIdError(#[from] pub(crate) NameError);

/// Why a string is not an [`Origin`](crate::http::Origin).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OriginError {
    #[error("the host must be a name in ASCII (xn--… for others) or an address")]
    Host,
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

/// A value that is not encoded as the prefix of its key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("its value is not valid {0}")]
pub struct DecodeError(pub(crate) &'static str);

/// Why TLS parameters could not be made. Only a broken build or a foreign CA file can cause these.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("invalid TLS parameters")]
    Rustls(#[from] rustls::Error),
    #[error("invalid seed of the client key")]
    ClientKey,
}
