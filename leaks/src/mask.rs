//! Output with every secret in it replaced.

use std::fmt;
use std::sync::Arc;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::MASK_MIN;
use crate::encoding::{Purpose, forms};
use crate::pattern::{Anchor, Patterns, SHORTEST, is_monotonous};
use crate::value::values;

/// What stands in the place of a secret.
const STARS: &[u8] = b"***";

/// Values and forms longer than this are masked piece by piece, so that a stream never holds back more, and what is
/// printed of a long secret is masked although the rest is not there. Longer than a line of a key in any form.
const MAX_PIECE: usize = 512;

/// Of a longer value only so much is masked as a whole (its parts are masked wherever they are).
const MAX_VALUE: usize = 64 << 10;

/// Finds secrets in output; shared by the streams of one child.
///
/// Masked is every value of a secret from [`MASK_MIN`] bytes on, raw and in every [`Form`](crate::Form).
pub struct Mask {
    /// All that is masked.
    patterns: Patterns,
    /// The same, for the end of what was printed so far: what may be a match once more comes.
    beginnings: Patterns,
    longest: usize,
    /// The first bytes of all patterns, sorted: six bytes, the first one the most significant.
    starts: Zeroizing<Vec<u64>>,
}

impl Mask {
    /// `None` if there is nothing to mask.
    pub fn new(secrets: &[(Key, &Secret)]) -> Option<Self> {
        let mut pieces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for (_, secret) in secrets {
            for value in values(secret.expose()) {
                let bytes = value.bytes.get(..MAX_VALUE).unwrap_or(&value.bytes);
                for (_, form) in forms(bytes, Purpose::Mask) {
                    let count = form.len().div_ceil(MAX_PIECE).max(1);
                    let some = form.chunks(form.len().div_ceil(count).max(1));
                    // Zeros in a keystore are zeros everywhere.
                    let some = some.filter(|piece| count == 1 || !is_monotonous(piece));
                    pieces.extend(some.map(|piece| Zeroizing::new(piece.to_vec())));
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
            beginnings: Patterns::new(all.clone(), Anchor::First),
            longest: all.clone().map(<[u8]>::len).max().unwrap_or(0),
            // Sorted already, as the pieces are.
            starts: Zeroizing::new(all.map(start).collect()),
        })
    }

    /// Whether anything in `secret` is long and rare enough to be masked.
    pub fn covers(secret: &Secret) -> bool {
        !values(secret.expose()).is_empty()
    }

    /// A stream of output. Each of the child's (stdout, stderr) needs its own.
    pub fn stream(self: &Arc<Self>) -> MaskStream {
        MaskStream { mask: Arc::clone(self), held: Zeroizing::default(), settled: 0, covered: 0 }
    }

    /// All matches in `output` by their start, and from where on one may have begun that is not complete.
    fn look(&self, output: &[u8]) -> (Vec<(usize, usize)>, usize) {
        let mut matches = Vec::new();
        self.patterns.scan(output, |candidate| {
            let Ok(start) = usize::try_from(candidate.start) else { return };
            let pattern = self.patterns.get(candidate.id);
            if output.get(start..).is_some_and(|rest| rest.starts_with(pattern)) {
                matches.push((start, start + pattern.len()));
            }
        });
        let mut hold = output.len() - self.begun(output);
        let from = output.len().saturating_sub(self.longest);
        let end = output.get(from..).unwrap_or_default();
        self.beginnings.scan(end, |candidate| {
            let Ok(start) = usize::try_from(candidate.start) else { return };
            let (pattern, rest) = (self.beginnings.get(candidate.id), end.get(start..).unwrap_or_default());
            if from + start < hold && rest.len() < pattern.len() && pattern.starts_with(rest) {
                hold = from + start;
            }
        });
        matches.sort_unstable();
        (matches, hold)
    }

    /// Length of the longest end of `output` that begins a pattern, up to [`SHORTEST`] bytes: too few for a scan.
    fn begun(&self, output: &[u8]) -> usize {
        let begins = |suffix: &[u8]| {
            let low = start(suffix);
            let high = low | ((1u64 << (8 * (SHORTEST - suffix.len()))) - 1);
            let at = self.starts.partition_point(|start| *start < low);
            self.starts.get(at).is_some_and(|start| *start <= high)
        };
        let longest = output.len().min(SHORTEST);
        let suffix = |len: &usize| output.get(output.len() - len..).is_some_and(begins);
        (1..=longest).rev().find(suffix).unwrap_or(0)
    }
}

/// The first six bytes as a number, zeros where there are fewer.
fn start(bytes: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    (0..SHORTEST).fold(0, |number, at| number << 8 | byte(at))
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// One stream of output on its way through a [`Mask`].
///
/// Each run of overlapping matches becomes `***`, so nothing of a secret is left at the seams. All other bytes pass as
/// they came, at once, except those at the end with which a match may have begun: at most 511 bytes, until more comes
/// or [`flush`](Self::flush) is called. A caller flushes at the end, and when the child has been quiet for a moment
/// (a prompt may end with the first letter of a secret).
pub struct MaskStream {
    mask: Arc<Mask>,
    /// The bytes at the end in which a match may have begun.
    held: Zeroizing<Vec<u8>>,
    /// How many of them need no more output: masked, or shown by a flush.
    settled: usize,
    /// How many of them are under the `***` that was written last.
    covered: usize,
}

impl MaskStream {
    /// Takes `input`, and appends to `out` what can be shown by now.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let joined;
        let all = if self.held.is_empty() {
            input
        } else {
            joined = Zeroizing::new([self.held.as_slice(), input].concat());
            joined.as_slice()
        };
        let (matches, hold) = self.mask.look(all);
        for (start, end) in matches {
            // What stands before it may be the beginning of a longer secret around it.
            if start > hold.max(self.settled) {
                break;
            }
            self.stars(all, start, end, out);
        }
        out.extend_from_slice(all.get(self.settled..hold).unwrap_or_default());
        self.settled = self.settled.saturating_sub(hold);
        self.covered = self.covered.saturating_sub(hold);
        self.held = Zeroizing::new(all.get(hold..).unwrap_or_default().to_vec());
    }

    /// Appends to `out` what was held back. Should it turn out to be the beginning of a secret, the rest is still
    /// masked.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        for (start, end) in self.mask.look(&held).0 {
            self.stars(&held, start, end, out);
        }
        out.extend_from_slice(held.get(self.settled..).unwrap_or_default());
        self.settled = held.len();
        self.held = held;
    }

    /// Everything up to `start`, and stars for what is behind it.
    fn stars(&mut self, all: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
        if end <= self.settled {
            return;
        }
        // Under the same stars when it overlaps what they stand for.
        if start >= self.covered {
            out.extend_from_slice(all.get(self.settled..start).unwrap_or_default());
            out.extend_from_slice(STARS);
        }
        (self.settled, self.covered) = (end, end);
    }

    /// Whether anything waits for a [`flush`](Self::flush).
    pub fn is_holding(&self) -> bool {
        self.settled < self.held.len()
    }
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskStream(..)")
    }
}

#[cfg(test)]
mod tests;
