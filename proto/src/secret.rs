//! The type of all secret bytes.

use std::fmt;

use zeroize::Zeroizing;

/// The bytes of a secret (or of a bridge conf). Wiped when dropped; neither `Display` nor `Clone`, and its `Debug`
/// shows nothing, so that no log line or error can carry it by accident.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The caller must not keep a copy of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Every call of this is a place to check in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes. Lengths are not secret: they are sent, audited and shown.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_value_nor_length() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "Secret(..)");
    }
}
