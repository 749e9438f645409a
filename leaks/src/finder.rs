//! Search for secrets in files and layers.

use std::fmt;
use std::ops::Range;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::base64_text::MAX_GAP;
use crate::compare::{Ahead, Form, MAX_SPAN, Readings};
use crate::encoding::{Encoded, Encoding, forms};
use crate::limits::LEAK_MIN;
use crate::memo::Memo;
use crate::pattern::{ANCHOR_LEN, MIN_PATTERN, Patterns, is_monotonous};
use crate::value::{Value, values};

/// Longest value that is compared as a whole.
const MAX_VALUE: usize = 4 << 10;

/// Length of the three pieces (start, middle, end) by which a longer value without parts is found.
const WINDOW: usize = 256;

/// Bytes before an anchor that are kept for the comparison: an anchor is at most 120 bytes into its pattern, and escapes
/// take six bytes each.
const LOOK_BACK: usize = 1024;

/// Most matches that may be incomplete at the end of a chunk.
const MAX_OPEN: usize = 4096;

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
        let mut origins = Vec::new();
        let mut patterns = Vec::new();
        for (key, (_, secret)) in (0u32..).zip(secrets) {
            let values = searchable_values(secret);
            for value in &values {
                let origin = Origin { key, part: value.part };
                for (form, bytes) in forms(&value.bytes) {
                    // A part that is the base64 of another one (the password in a Secret of Kubernetes) is reported once.
                    let known = form == Form::Base64 && values.iter().any(|other| *other.bytes == *bytes);
                    if bytes.len() >= MIN_PATTERN && !known {
                        patterns.extend(Encoded::all(form, &bytes));
                        origins.resize(patterns.len(), origin);
                    }
                }
            }
        }
        if patterns.is_empty() {
            return None;
        }
        Some(Self {
            keys: secrets.iter().map(|(key, _)| key.clone()).collect(),
            patterns: Patterns::new(&patterns),
            origins,
        })
    }

    /// Whether anything in `secret` is long and rare enough to be searched for.
    pub fn covers(secret: &Secret) -> bool {
        !searchable_values(secret).is_empty()
    }

    /// Begins a search through one file or stream.
    pub fn search(&self) -> Search<'_> {
        Search {
            finder: self,
            seen: 0,
            tail: Zeroizing::default(),
            open: Vec::new(),
            readings: Readings::default(),
            memo: Memo::default(),
            hits: Vec::new(),
        }
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
    /// The last bytes of the earlier chunks: as many as are needed to find matches that end in the next one.
    tail: Zeroizing<Vec<u8>>,
    /// Matches that continue beyond the last chunk, if they are matches.
    open: Vec<OpenMatch>,
    readings: Readings,
    memo: Memo,
    hits: Vec<Hit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct OpenMatch {
    id: usize,
    /// Where the anchor is, in bytes from the start of the search.
    anchor: u64,
}

impl Search<'_> {
    /// Searches the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) {
        let finder = self.finder;
        let mut scanned = 0;
        let mut memo = std::mem::take(&mut self.memo);
        if !self.tail.is_empty() {
            let before = self.tail.len();
            let start = self.seen - before as u64;
            let mut ahead = if self.open.is_empty() { LOOK_BACK } else { MAX_SPAN };
            let mut seam = self.seam(chunk, ahead);
            for open in std::mem::take(&mut self.open) {
                self.check(&seam, start, open.id, to_usize(open.anchor.saturating_sub(start)));
            }
            // From so close before the chunk that no anchor and no line end before it was complete.
            finder.patterns.scan(&seam, before.saturating_sub(ANCHOR_LEN - 1), &mut memo, |id, at| {
                self.check(&seam, start, id, at)
            });
            finder.patterns.scan_wraps(&seam, before.saturating_sub(2 * MAX_GAP), |id, at| {
                self.check(&seam, start, id, at);
            });
            while !self.open.is_empty() && ahead < chunk.len().min(MAX_SPAN) {
                ahead = MAX_SPAN;
                seam = self.seam(chunk, ahead);
                for open in std::mem::take(&mut self.open) {
                    self.check(&seam, start, open.id, to_usize(open.anchor.saturating_sub(start)));
                }
            }
            if seam.len() < before + chunk.len() {
                // Longer than any match.
                self.open.clear();
            }
            scanned = LOOK_BACK;
        }
        if scanned < chunk.len() || self.tail.is_empty() {
            let start = self.seen;
            finder.patterns.scan(chunk, scanned.saturating_sub(ANCHOR_LEN - 1), &mut memo, |id, at| {
                self.check(chunk, start, id, at)
            });
            finder.patterns.scan_wraps(chunk, scanned.saturating_sub(2 * MAX_GAP), |id, at| {
                self.check(chunk, start, id, at);
            });
        }
        self.memo = memo;
        self.keep_tail(chunk);
    }

    /// Steps of comparison so far.
    #[cfg(test)]
    fn steps(&self) -> u64 {
        self.readings.count
    }

    /// The matches so far: each key and encoding once, as a whole rather than as a part.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// The tail, and at most `ahead` bytes of `chunk`.
    fn seam(&self, chunk: &[u8], ahead: usize) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.tail.as_slice(), chunk.get(..ahead).unwrap_or(chunk)].concat())
    }

    /// Keeps the end of the input that matches in the next chunk may need.
    fn keep_tail(&mut self, chunk: &[u8]) {
        self.seen += chunk.len() as u64;
        let seen = self.seen;
        self.open.retain(|open| seen - open.anchor <= MAX_SPAN as u64);
        let oldest = self.open.iter().map(|open| open.anchor).min().unwrap_or(seen);
        let length = to_usize(seen - oldest) + LOOK_BACK;
        let recent = chunk.get(chunk.len().saturating_sub(length)..).unwrap_or_default();
        let kept = self.tail.len().min(length - recent.len());
        let stale = self.tail.len() - kept;
        if self.tail.capacity() < kept + recent.len() {
            // A new allocation, because growing would not wipe the old one.
            let mut tail = Zeroizing::new(Vec::with_capacity(kept + recent.len().max(LOOK_BACK)));
            tail.extend_from_slice(self.tail.get(stale..).unwrap_or_default());
            self.tail = tail;
        } else {
            self.tail.drain(..stale);
        }
        self.tail.extend_from_slice(recent);
    }

    /// Compares pattern `id` with `input`, which begins at `start`, around the anchor at `at`. Returns the bytes that it
    /// looked at if there is no match.
    fn check(&mut self, input: &[u8], start: u64, id: usize, at: usize) -> Option<Range<usize>> {
        let pattern = self.finder.patterns.get(id)?;
        let ahead = self.readings.ahead(pattern.form, pattern.bytes, pattern.anchor, input, at);
        if ahead == Ahead::default() {
            return self.readings.seen();
        }
        let back = self.readings.back(pattern.form, pattern.bytes, pattern.anchor, input, at);
        let Some((begin, marks)) = back else { return self.readings.seen() };
        match ahead.end {
            Some((_, more)) => self.hit(id, Encoding::of(pattern.form, marks | more), start + begin as u64),
            None => {
                let open = OpenMatch { id, anchor: start + at as u64 };
                if self.open.len() < MAX_OPEN && !self.open.contains(&open) {
                    self.open.push(open);
                }
            }
        }
        None
    }

    fn hit(&mut self, id: usize, encoding: Encoding, offset: u64) {
        let Some(Origin { key, part }) = self.finder.origins.get(id).copied() else { return };
        let Some(key) = self.finder.keys.get(key as usize) else { return };
        let hit = || Hit { key: key.clone(), encoding, part, offset };
        match self.hits.iter_mut().find(|hit| hit.key == *key && hit.encoding == encoding) {
            Some(known) if known.part && !part => *known = hit(),
            Some(_) => {}
            None => self.hits.push(hit()),
        }
    }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("hits", &self.hits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
