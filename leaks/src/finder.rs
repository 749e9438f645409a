//! Secrets in files and layers.

use std::fmt;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::LEAK_MIN;
use crate::encoding::{Form, Purpose, forms};
use crate::pattern::{ANCHOR, Anchor, LOOK_BACK, Patterns, is_monotonous};
use crate::value::{Value, values};

/// Values up to this length are compared whole.
const MAX_VALUE: usize = 4 << 10;

/// A longer value that nothing is known about is found by pieces of this length, from its start, middle and end.
const WINDOW: usize = 256;

/// Finds secrets in what should hold none.
///
/// Looked for is every value of a secret from [`LEAK_MIN`] bytes on, raw and in every [`Form`]. A value of more than
/// 4 KiB is not compared as a whole: its parts count (lines of a key, passwords in a file), or, if it has none, 256
/// bytes each from its start, middle and end.
pub struct Finder {
    keys: Vec<Key>,
    patterns: Patterns,
    /// What each pattern is, by its id.
    looks: Vec<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    /// Index of the key.
    key: u32,
    form: Form,
    part: bool,
}

/// One look of one secret, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Of which secret.
    pub key: Key,
    /// In which form.
    pub form: Form,
    /// A value inside of it (a token, a password, a line of a key), not the whole.
    pub part: bool,
    /// Where it begins, in bytes from the start of the search.
    pub offset: u64,
}

impl Finder {
    /// `None` if nothing in `secrets` is long and rare enough to be looked for.
    pub fn new(secrets: &[(Key, &Secret)]) -> Option<Self> {
        let mut all: Vec<(Look, Zeroizing<Vec<u8>>)> = Vec::new();
        for (key, (_, secret)) in (0u32..).zip(secrets) {
            let of_secret = all.len();
            for value in searched(secret) {
                for (form, bytes) in forms(&value.bytes, Purpose::Leak) {
                    all.push((Look { key, form, part: value.part }, bytes));
                }
            }
            // A part that reads like another one's form (`auth` of Docker: the base64 of a password) is found once.
            if let Some(looks) = all.get_mut(of_secret..) {
                looks.sort_by(|(a, x), (b, y)| {
                    (x.as_slice(), a.part, a.form).cmp(&(y.as_slice(), b.part, b.form))
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
            looks: all.iter().map(|(look, _)| *look).collect(),
        })
    }

    /// Whether anything in `secret` is long and rare enough to be looked for.
    pub fn covers(secret: &Secret) -> bool {
        !searched(secret).is_empty()
    }

    /// A search through one file or stream.
    pub fn search(&self) -> Search<'_> {
        Search { finder: self, seen: 0, tail: Zeroizing::default(), begun: Vec::new(), hits: Vec::new() }
    }
}

/// The values of `secret` that are looked for.
fn searched(secret: &Secret) -> Vec<Value> {
    let mut all = values(secret.expose());
    all.retain(|value| !value.mask_only && value.bytes.len() >= LEAK_MIN);
    let has_parts = all.iter().any(|value| value.part);
    let long: Vec<Value> = all.extract_if(.., |value| value.bytes.len() > MAX_VALUE).collect();
    // What is PEM without a private key is public, and in every image.
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
    /// Bytes fed before.
    seen: u64,
    /// The last of them.
    tail: Zeroizing<Vec<u8>>,
    /// Matches that reach beyond what was fed.
    begun: Vec<Begun>,
    hits: Vec<Hit>,
}

struct Begun {
    id: usize,
    matched: usize,
    offset: u64,
}

impl Search<'_> {
    /// Searches `chunk`, which follows what was fed before.
    pub fn feed(&mut self, chunk: &[u8]) {
        for mut begun in std::mem::take(&mut self.begun) {
            let rest = self.finder.patterns.get(begun.id).get(begun.matched..).unwrap_or_default();
            let both = rest.len().min(chunk.len());
            if rest.get(..both) == chunk.get(..both) {
                begun.matched += both;
                self.keep(begun);
            }
        }
        // Anchors across the boundary first: from so far before it that not all of one lies there.
        let before = self.tail.len().min(ANCHOR - 1);
        let from = self.tail.get(self.tail.len() - before..).unwrap_or_default();
        let seam = Zeroizing::new([from, chunk.get(..ANCHOR - 1).unwrap_or(chunk)].concat());
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

    /// What was found so far: each key and form once, as a whole rather than as a part.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Compares pattern `id` with what begins at `start`, relative to `chunk`.
    fn check(&mut self, id: usize, start: isize, chunk: &[u8]) {
        let pattern = self.finder.patterns.get(id);
        let earlier = usize::try_from(start.saturating_neg()).unwrap_or(0);
        let Some(at) = self.tail.len().checked_sub(earlier) else { return };
        let Some((head, rest)) = pattern.split_at_checked(earlier) else { return };
        let ahead = chunk.get(usize::try_from(start).unwrap_or(0)..).unwrap_or_default();
        let both = rest.len().min(ahead.len());
        if self.tail.get(at..) == Some(head) && rest.get(..both) == ahead.get(..both) {
            let offset = self.seen.saturating_add_signed(start as i64);
            self.keep(Begun { id, matched: earlier + both, offset });
        }
    }

    /// A match, or what may become one.
    fn keep(&mut self, begun: Begun) {
        let Some(look) = self.finder.looks.get(begun.id) else { return };
        let Some(key) = self.finder.keys.get(look.key as usize) else { return };
        let known = self.hits.iter_mut().find(|hit| hit.key == *key && hit.form == look.form);
        if known.as_ref().is_some_and(|hit| look.part || !hit.part) {
            return;
        }
        if begun.matched < self.finder.patterns.get(begun.id).len() {
            if !self.begun.iter().any(|known| known.id == begun.id && known.offset == begun.offset) {
                self.begun.push(begun);
            }
            return;
        }
        let hit = Hit { key: key.clone(), form: look.form, part: look.part, offset: begun.offset };
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
