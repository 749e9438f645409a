//! What can be wrong with bytes or text, before anything was done with them. None of these carries the value.

use thiserror::Error;

/// Why a string is not a usable bridge conf.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfError {
    /// Nothing, or only white space.
    #[error("it is empty")]
    Empty,
    /// No `sb` prefix: some other text, such as a proxy's URL.
    #[error("it does not begin with sb1_, so it is not a bridge conf")]
    NotAConf,
    /// `sb2_` or later.
    #[error("it is of version sb{0}, and this client reads sb1: use the same release on both sides")]
    OtherVersion(u32),
    /// Characters outside base64url, or a checksum that does not match.
    #[error("it is cut or mangled (its checksum does not match): copy it whole, as one word")]
    Mangled,
    /// The checksum matches and the contents still make no sense: not made by a bridge of this version.
    #[error("its contents are malformed: {0}")]
    Malformed(WireError),
}

/// Why bytes from the peer are not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not CBOR of the expected shape, or not its shortest form, or bytes after it.
    #[error("not {0} in its one canonical encoding")]
    NotCanonical(&'static str),
    /// A count or length over its limit in [`crate::limits`].
    #[error("{what} over the limit of {limit}")]
    OverLimit {
        /// What was too large.
        what: &'static str,
        /// The limit, in the unit of `what`.
        limit: u64,
    },
    /// A key, agent id or endpoint outside its alphabet.
    #[error("{0} outside its alphabet")]
    Alphabet(&'static str),
}

/// Why a string is not the key of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The empty string.
    #[error("a key cannot be empty")]
    Empty,
    /// More than [`crate::limits::MAX_KEY`] characters.
    #[error("a key has at most {} characters", crate::limits::MAX_KEY)]
    TooLong,
    /// Something outside `A-Z a-z 0-9 . _ / -`.
    #[error("a key consists of A-Z a-z 0-9 . _ / - only")]
    Alphabet,
    /// A bridge conf where a key belongs.
    #[error("this is a bridge conf, not a key: pass it with -c")]
    Conf,
    /// A `prefix:` other than the four that there are.
    #[error("a key has no prefix, or one of b64: b64u: rb64: rb64u:")]
    UnknownPrefix,
}

/// Why TLS parameters could not be made. Only a broken build or a foreign CA file can cause these.
#[derive(Debug, Error)]
pub enum TlsError {
    /// rustls did not take them.
    #[error("TLS parameters were refused")]
    Rustls(#[from] rustls::Error),
    /// The client key's seed is not usable.
    #[error("the client key cannot be used")]
    ClientKey,
}
