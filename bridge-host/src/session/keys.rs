//! The keys that a connection's requests named, for one log line at its end: a hundred keys must not make a hundred
//! lines.

use std::fmt;

use proto::Key;
use tracing::{info, warn};

#[derive(Default)]
pub(super) struct RequestedKeys {
    pub(super) granted: KeyList,
    pub(super) refused: KeyList,
}

impl RequestedKeys {
    pub(super) fn log(&self) {
        if self.granted.count > 0 {
            info!("sent {}", self.granted);
        }
        if self.refused.count > 0 {
            warn!("refused {}", self.refused);
        }
    }
}

/// The first few of some keys, and how many there are.
#[derive(Default)]
pub(super) struct KeyList {
    first: Vec<Key>,
    count: u64,
}

impl KeyList {
    const SHOWN: usize = 5;

    pub(super) fn add(&mut self, key: Key) {
        if self.first.len() < Self::SHOWN {
            self.first.push(key);
        }
        self.count += 1;
    }
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.first.iter().map(Key::as_str).collect();
        f.write_str(&names.join(", "))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_keys_ends_with_a_count() {
        let mut keys = KeyList::default();
        for name in ["a", "b", "c", "d", "e"] {
            keys.add(name.parse().unwrap());
        }
        assert_eq!(keys.to_string(), "a, b, c, d, e");
        keys.add("f".parse().unwrap());
        assert_eq!(keys.to_string(), "a, b, c, d, e and 1 more");
    }
}
