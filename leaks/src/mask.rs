//! Masks secrets in output.

use std::fmt;
use std::sync::Arc;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::encoding::{Purpose, encodings};
use crate::limits::MASK_MIN;
use crate::pattern::{Anchor, MIN_PATTERN, Patterns, is_monotonous};
use crate::value::values;

/// Written in place of a secret.
const REPLACEMENT: &[u8] = b"***";

/// Longer encoded values are masked in pieces of at most this length, so that a stream never holds back more, and a part
/// of a long secret is masked too. Longer than a line of a key in any encoding.
const MAX_PIECE: usize = 512;

/// Only this many bytes of a longer value are masked as a whole (its parts are masked wherever they are).
const MAX_VALUE: usize = 64 << 10;

/// Finds secrets in output; shared by the streams of one child.
///
/// It masks every value of a secret of at least [`MASK_MIN`] bytes, in every [`Encoding`](crate::Encoding).
pub struct Mask {
    patterns: Patterns,
    /// The same patterns with their anchors at the start, to find matches that the end of the output may begin.
    prefixes: Patterns,
    longest: usize,
    /// The first six bytes of all patterns as big-endian numbers, sorted.
    starts: Zeroizing<Vec<u64>>,
}

impl Mask {
    /// `None` if there is nothing to mask.
    pub fn new(secrets: &[(Key, &Secret)]) -> Option<Self> {
        let mut pieces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for (_, secret) in secrets {
            for value in values(secret.expose()) {
                let bytes = value.bytes.get(..MAX_VALUE).unwrap_or(&value.bytes);
                for (_, encoded) in encodings(bytes, Purpose::Mask) {
                    let count = encoded.len().div_ceil(MAX_PIECE).max(1);
                    let chunks = encoded.chunks(encoded.len().div_ceil(count).max(1));
                    // The zeros of a keystore would mask other zeros.
                    let rare = chunks.filter(|piece| count == 1 || !is_monotonous(piece));
                    pieces.extend(rare.map(|piece| Zeroizing::new(piece.to_vec())));
                }
            }
        }
        pieces.retain(|piece| piece.len() >= MASK_MIN);
        pieces.sort_unstable_by(|a, b| a.as_slice().cmp(b));
        pieces.dedup();
        if pieces.is_empty() {
            return None;
        }
        let all = pieces.iter().map(|piece| piece.as_slice());
        Some(Self {
            patterns: Patterns::new(all.clone(), Anchor::Rarest),
            prefixes: Patterns::new(all.clone(), Anchor::First),
            longest: all.clone().map(<[u8]>::len).max().unwrap_or(0),
            // Sorted, because the pieces are.
            starts: Zeroizing::new(all.map(start).collect()),
        })
    }

    /// Whether anything in `secret` is long and rare enough to be masked.
    pub fn covers(secret: &Secret) -> bool {
        !values(secret.expose()).is_empty()
    }

    /// Begins a stream of output. Each one of the child (stdout, stderr) needs its own.
    pub fn stream(self: &Arc<Self>) -> MaskStream {
        MaskStream { mask: Arc::clone(self), held: Zeroizing::default(), settled: 0, covered: 0 }
    }

    /// All matches in `output` by their start, and the offset from which an incomplete match may begin.
    fn find_matches(&self, output: &[u8]) -> (Vec<(usize, usize)>, usize) {
        let mut matches = Vec::new();
        self.patterns.scan(output, |candidate| {
            let Ok(start) = usize::try_from(candidate.start) else { return };
            let pattern = self.patterns.get(candidate.id);
            if output.get(start..).is_some_and(|rest| rest.starts_with(pattern)) {
                matches.push((start, start + pattern.len()));
            }
        });
        let mut hold = output.len() - self.short_prefix(output);
        let from = output.len().saturating_sub(self.longest);
        let end = output.get(from..).unwrap_or_default();
        self.prefixes.scan(end, |candidate| {
            let Ok(start) = usize::try_from(candidate.start) else { return };
            let (pattern, rest) = (self.prefixes.get(candidate.id), end.get(start..).unwrap_or_default());
            if from + start < hold && rest.len() < pattern.len() && pattern.starts_with(rest) {
                hold = from + start;
            }
        });
        matches.sort_unstable();
        (matches, hold)
    }

    /// Length of the longest suffix of `output` that begins a pattern, up to [`MIN_PATTERN`] bytes: too few for a scan.
    fn short_prefix(&self, output: &[u8]) -> usize {
        let begins = |suffix: &[u8]| {
            let low = start(suffix);
            let high = low | ((1u64 << (8 * (MIN_PATTERN - suffix.len()))) - 1);
            let at = self.starts.partition_point(|start| *start < low);
            self.starts.get(at).is_some_and(|start| *start <= high)
        };
        let longest = output.len().min(MIN_PATTERN);
        let suffix = |len: &usize| output.get(output.len() - len..).is_some_and(begins);
        (1..=longest).rev().find(suffix).unwrap_or(0)
    }
}

/// The first six bytes as a big-endian number, with zeros for missing ones.
fn start(bytes: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    (0..MIN_PATTERN).fold(0, |number, at| number << 8 | byte(at))
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// One stream of output on its way through a [`Mask`].
///
/// Each run of overlapping matches becomes `***`, so that nothing of a secret is left between matches. All other bytes
/// pass unchanged and at once, except those at the end that may begin a match: at most 511 bytes are held back, until
/// more output comes or [`finish`](Self::finish) is called at the end of the stream.
pub struct MaskStream {
    mask: Arc<Mask>,
    /// The bytes at the end that may begin a match.
    held: Zeroizing<Vec<u8>>,
    /// How many of them were written already: masked, or by a flush.
    settled: usize,
    /// How many of them the last `***` stands for.
    covered: usize,
}

impl MaskStream {
    /// Takes `input`, and appends to `out` what can be written now.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let joined;
        let all = if self.held.is_empty() {
            input
        } else {
            joined = Zeroizing::new([self.held.as_slice(), input].concat());
            joined.as_slice()
        };
        let (matches, hold) = self.mask.find_matches(all);
        for (start, end) in matches {
            // The bytes before it may begin a longer secret that includes it.
            if start > hold.max(self.settled) {
                break;
            }
            self.write_match(all, start, end, out);
        }
        out.extend_from_slice(all.get(self.settled..hold).unwrap_or_default());
        self.settled = self.settled.saturating_sub(hold);
        self.covered = self.covered.saturating_sub(hold);
        self.held = Zeroizing::new(all.get(hold..).unwrap_or_default().to_vec());
    }

    /// Appends the bytes held back to `out` if they are fewer than [`MASK_MIN`] bytes of a secret, for a stream that has been
    /// quiet for a moment: a prompt may end with the first letters of a secret. If the rest of the secret follows, it is still
    /// masked.
    pub fn release_short(&mut self, out: &mut Vec<u8>) {
        if self.is_holding_short() {
            self.finish(out);
        }
    }

    /// Whether [`release_short`](Self::release_short) would write anything.
    pub fn is_holding_short(&self) -> bool {
        self.settled < self.held.len() && self.held.len() < MASK_MIN
    }

    /// Appends the bytes held back to `out`: the end of the stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        for (start, end) in self.mask.find_matches(&held).0 {
            self.write_match(&held, start, end, out);
        }
        out.extend_from_slice(held.get(self.settled..).unwrap_or_default());
        self.settled = held.len();
        self.held = held;
    }

    /// Appends the bytes up to `start`, and `***` for the match.
    fn write_match(&mut self, all: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
        if end <= self.settled {
            return;
        }
        // A match that overlaps the previous one shares its `***`.
        if start >= self.covered {
            out.extend_from_slice(all.get(self.settled..start).unwrap_or_default());
            out.extend_from_slice(REPLACEMENT);
        }
        (self.settled, self.covered) = (end, end);
    }
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskStream(..)")
    }
}

#[cfg(test)]
mod tests;
