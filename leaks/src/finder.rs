//! Search for secrets in files and layers.

use std::fmt;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::encoding::{Encoding, Purpose, encodings};
use crate::limits::LEAK_MIN;
use crate::pattern::{ANCHOR_LEN, Anchor, LOOK_BACK, Patterns, is_monotonous};
use crate::value::{Value, values};

/// Longest value that is compared as a whole.
const MAX_VALUE: usize = 4 << 10;

/// Length of the three pieces (start, middle, end) by which a longer value without parts is found.
const WINDOW: usize = 256;

/// Searches for secrets.
///
/// It finds every value of a secret of at least [`LEAK_MIN`] bytes, in every [`Encoding`]. A value of more than 4 KiB is
/// not compared as a whole: it is found by its parts (lines of a key, passwords in a file), or, if it has none, by 256
/// bytes each from its start, middle and end.
pub struct Finder {
    keys: Vec<Key>,
    patterns: Patterns,
    /// By the pattern's id.
    origins: Vec<Origin>,
}

/// What a pattern was made from.
#[derive(Clone, Copy)]
struct Origin {
    /// Index of the key.
    key: u32,
    encoding: Encoding,
    part: bool,
}

/// A match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub key: Key,
    pub encoding: Encoding,
    /// Whether it is a value inside the secret (a token, a password, a line of a key), not the whole.
    pub part: bool,
    /// Where the match begins, in bytes from the start of the search.
    pub offset: u64,
}

impl Finder {
    /// `None` if nothing in `secrets` is long and rare enough to be searched for.
    pub fn new(secrets: &[(Key, &Secret)]) -> Option<Self> {
        let mut all: Vec<(Origin, Zeroizing<Vec<u8>>)> = Vec::new();
        for (key, (_, secret)) in (0u32..).zip(secrets) {
            let of_secret = all.len();
            for value in searchable_values(secret) {
                for (encoding, bytes) in encodings(&value.bytes, Purpose::Leak) {
                    all.push((Origin { key, encoding, part: value.part }, bytes));
                }
            }
            // A part that is the encoding of another one (Docker's `auth`: the base64 of a password) is reported once.
            if let Some(patterns) = all.get_mut(of_secret..) {
                patterns.sort_by(|(a, x), (b, y)| {
                    (x.as_slice(), a.part, a.encoding).cmp(&(y.as_slice(), b.part, b.encoding))
                });
            }
            all.dedup_by(|(a, x), (b, y)| a.key == b.key && x == y);
        }
        if all.is_empty() {
            return None;
        }
        Some(Self {
            keys: secrets.iter().map(|(key, _)| key.clone()).collect(),
            patterns: Patterns::new(all.iter().map(|(_, bytes)| bytes.as_slice()), Anchor::Rarest),
            origins: all.iter().map(|(origin, _)| *origin).collect(),
        })
    }

    /// Whether anything in `secret` is long and rare enough to be searched for.
    pub fn covers(secret: &Secret) -> bool {
        !searchable_values(secret).is_empty()
    }

    /// Begins a search through one file or stream.
    pub fn search(&self) -> Search<'_> {
        Search { finder: self, seen: 0, tail: Zeroizing::default(), partial: Vec::new(), hits: Vec::new() }
    }
}

fn searchable_values(secret: &Secret) -> Vec<Value> {
    let mut all = values(secret.expose());
    all.retain(|value| !value.mask_only && value.bytes.len() >= LEAK_MIN);
    let has_parts = all.iter().any(|value| value.part);
    let long: Vec<Value> = all.extract_if(.., |value| value.bytes.len() > MAX_VALUE).collect();
    // PEM without a private key, such as a certificate, is public, and in every image.
    let public = |bytes: &[u8]| bytes.starts_with(b"-----BEGIN ");
    for value in long.iter().filter(|value| value.part || !(has_parts || public(&value.bytes))) {
        let last = value.bytes.len() - WINDOW;
        for at in [0, last / 2, last] {
            let window = value.bytes.get(at..at + WINDOW).unwrap_or_default();
            if !is_monotonous(window) {
                all.push(Value { bytes: Zeroizing::new(window.to_vec()), part: true, mask_only: false });
            }
        }
    }
    all
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// A search through one file or stream, fed in chunks of any size.
pub struct Search<'a> {
    finder: &'a Finder,
    /// Bytes of all earlier chunks.
    seen: u64,
    /// The last bytes of the earlier chunks.
    tail: Zeroizing<Vec<u8>>,
    /// Matches that continue beyond the last chunk, if they are matches.
    partial: Vec<PartialMatch>,
    hits: Vec<Hit>,
}

struct PartialMatch {
    id: usize,
    matched: usize,
    offset: u64,
}

impl Search<'_> {
    /// Searches the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) {
        for mut partial in std::mem::take(&mut self.partial) {
            let rest = self.finder.patterns.get(partial.id).get(partial.matched..).unwrap_or_default();
            let both = rest.len().min(chunk.len());
            if rest.get(..both) == chunk.get(..both) {
                partial.matched += both;
                self.keep(partial);
            }
        }
        // Anchors across the chunk's start first: from so close before it that no anchor ends there.
        let before = self.tail.len().min(ANCHOR_LEN - 1);
        let from = self.tail.get(self.tail.len() - before..).unwrap_or_default();
        let seam = Zeroizing::new([from, chunk.get(..ANCHOR_LEN - 1).unwrap_or(chunk)].concat());
        let patterns = &self.finder.patterns;
        if before > 0 {
            patterns.scan(&seam, |found| {
                self.check(found.id, found.start.saturating_sub_unsigned(before), chunk)
            });
        }
        patterns.scan(chunk, |found| self.check(found.id, found.start, chunk));
        self.seen += chunk.len() as u64;
        let recent = chunk.get(chunk.len().saturating_sub(LOOK_BACK)..).unwrap_or_default();
        let kept = self.tail.len().min(LOOK_BACK - recent.len());
        let older = self.tail.get(self.tail.len() - kept..).unwrap_or_default();
        self.tail = Zeroizing::new([older, recent].concat());
    }

    /// The matches so far: each key and encoding once, as a whole rather than as a part.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Compares pattern `id` with the input at `start`, relative to `chunk`.
    fn check(&mut self, id: usize, start: isize, chunk: &[u8]) {
        let pattern = self.finder.patterns.get(id);
        let earlier = usize::try_from(start.saturating_neg()).unwrap_or(0);
        let Some(at) = self.tail.len().checked_sub(earlier) else { return };
        let Some((head, rest)) = pattern.split_at_checked(earlier) else { return };
        let ahead = chunk.get(usize::try_from(start).unwrap_or(0)..).unwrap_or_default();
        let both = rest.len().min(ahead.len());
        if self.tail.get(at..) == Some(head) && rest.get(..both) == ahead.get(..both) {
            let offset = self.seen.saturating_add_signed(start as i64);
            self.keep(PartialMatch { id, matched: earlier + both, offset });
        }
    }

    /// Keeps a match, or a partial one until the next chunk.
    fn keep(&mut self, found: PartialMatch) {
        let Some(origin) = self.finder.origins.get(found.id) else { return };
        let Some(key) = self.finder.keys.get(origin.key as usize) else { return };
        let known = self.hits.iter_mut().find(|hit| hit.key == *key && hit.encoding == origin.encoding);
        if known.as_ref().is_some_and(|hit| origin.part || !hit.part) {
            return;
        }
        if found.matched < self.finder.patterns.get(found.id).len() {
            if !self.partial.iter().any(|known| known.id == found.id && known.offset == found.offset) {
                self.partial.push(found);
            }
            return;
        }
        let hit =
            Hit { key: key.clone(), encoding: origin.encoding, part: origin.part, offset: found.offset };
        match known {
            Some(part) => *part = hit,
            None => self.hits.push(hit),
        }
    }
}

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("hits", &self.hits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
