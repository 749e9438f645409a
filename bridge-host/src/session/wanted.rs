//! Keys that a client has asked for, packed: as many keys as a message holds would take ten times its size.

use proto::Key;

use crate::memory::Reserved;

/// The keys of one message that are not decided yet, numbered.
pub(crate) struct WantedKeys {
    /// The keys, each followed by a line feed, which no key contains.
    text: String,
    /// Where the next key begins.
    at: usize,
    next_request: u32,
    /// One more than the number of the last request.
    end: u32,
    _reserved: Reserved,
}

impl WantedKeys {
    /// Bytes to be reserved for `keys`.
    pub(crate) fn size_of(keys: &[Key]) -> usize {
        keys.iter().map(|key| key.as_str().len() + 1).sum()
    }

    /// Packs `keys`, the requests from `first_request` on, into the `reserved` memory.
    pub(crate) fn pack(first_request: u32, keys: &[Key], mut reserved: Reserved) -> Self {
        let size = Self::size_of(keys);
        reserved.shrink_to(size);
        let mut text = String::with_capacity(size);
        for key in keys {
            text.push_str(key.as_str());
            text.push('\n');
        }
        let end = first_request.saturating_add(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        Self { text, at: 0, next_request: first_request, end, _reserved: reserved }
    }

    /// One more than the number of the last request.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }
}

impl Iterator for WantedKeys {
    type Item = (u32, Key);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, _) = self.text.get(self.at..)?.split_once('\n')?;
        self.at += key.len() + 1;
        let request = self.next_request;
        self.next_request += 1;
        Some((request, key.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryPool;

    #[test]
    fn packed_keys_come_out_in_order_with_their_numbers() {
        let keys: Vec<Key> = ["a", "B/c.d-e_f", "0"].map(|key| key.parse().unwrap()).into();
        let memory = MemoryPool::new(0, 1, 0).session();
        let reserved = memory.try_reserve(WantedKeys::size_of(&keys)).unwrap();
        let expected: Vec<_> = (7..).zip(keys.clone()).collect();
        assert_eq!(WantedKeys::pack(7, &keys, reserved).collect::<Vec<_>>(), expected);
    }
}
