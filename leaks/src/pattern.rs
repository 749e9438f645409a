//! Search for many patterns at once.
//!
//! The search checks every fourth position of the input: it looks up the gram there (four bytes, or three when a pattern
//! is too short) in a filter, which nearly always rejects it. The filter holds the grams at four consecutive positions
//! of each pattern's [anchor](crate::anchor), so that one of them is at a checked position wherever the pattern occurs.
//! What passes is compared by the caller. Encodings that are broken into lines are found by the grams across each line
//! end, joined as if it were not there.
//!
//! Why not an automaton: for whole patterns it takes dozens of bytes of memory for each of their bytes, and a hundred
//! keys of 1 KiB in all encodings are some 2 MB of patterns. Over the same anchors, aho-corasick read 0.06 to 0.33 GB/s,
//! less the more anchors there were, where this reads several times as much (10 to 100 secrets, `cargo bench -p leaks`);
//! layers of images, and a build's output, have to be read at more than 0.3.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::anchor::{STRIDE, anchor, gram};
use crate::compare::Form;
use crate::encoding::Encoded;
use crate::memo::{self, Memo};

mod wraps;

/// Longest anchor, in bytes of the input.
pub(crate) const ANCHOR_LEN: usize = 4 + STRIDE - 1;

/// Shortest pattern that can be searched for.
pub(crate) const MIN_PATTERN: usize = ANCHOR_LEN - 1;

/// Fewest different bytes that a piece of a longer value must have.
const MIN_DISTINCT: usize = 10;

const FILTER_BITS: std::ops::RangeInclusive<u32> = 17..=23;

/// Bits of an entry of [`Patterns::grams`] for the distance from the anchor's start.
const BACK_BITS: u32 = 5;

/// One pattern of [`Patterns`].
#[derive(Clone, Copy)]
pub(crate) struct Pattern<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) form: Form,
    /// Offset of the anchor in `bytes`.
    pub(crate) anchor: usize,
}

#[derive(Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
    anchor: u16,
    form: Form,
}

/// A set of patterns, ready to be searched for.
pub(crate) struct Patterns {
    /// All patterns, concatenated.
    bytes: Zeroizing<Vec<u8>>,
    spans: Vec<Span>,
    /// Sorted: a gram, its pattern, and its distance from the anchor's start, as `gram << 32 | id << 5 | distance`.
    grams: Zeroizing<Vec<u64>>,
    /// Bit set of the hashes of all grams: a Bloom filter with one hash function.
    filter: Zeroizing<Vec<u64>>,
    shift: u32,
    gram_mask: u32,
}

impl Patterns {
    /// The id of a pattern is its index. Patterns shorter than [`MIN_PATTERN`] are never found.
    pub(crate) fn new(patterns: &[Encoded]) -> Self {
        // Large enough not to grow: the old allocation would not be wiped.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(patterns.iter().map(|pattern| pattern.bytes.len()).sum()));
        let mut spans = Vec::with_capacity(patterns.len());
        let is_short = |pattern: &Encoded| {
            pattern.form != Form::Hex && (MIN_PATTERN..ANCHOR_LEN).contains(&pattern.bytes.len())
        };
        let length = if patterns.iter().any(is_short) { 3 } else { 4 };
        let mut grams: Zeroizing<Vec<u64>> = Zeroizing::new(Vec::with_capacity(patterns.len() * 24));
        for (id, pattern) in (0u64..).zip(patterns) {
            let anchor = anchor(pattern, length);
            let at = anchor.as_ref().map_or(0, |anchor| anchor.at);
            for (gram, back) in anchor.iter().flat_map(|anchor| anchor.grams.iter()) {
                if grams.len() == grams.capacity() {
                    let mut larger = Zeroizing::new(Vec::with_capacity(grams.len() * 2));
                    larger.extend_from_slice(&grams);
                    grams = larger;
                }
                grams.push(u64::from(*gram) << 32 | id << BACK_BITS | u64::from(*back));
            }
            spans.push(Span {
                at: to_u32(bytes.len()),
                len: to_u32(pattern.bytes.len()),
                anchor: u16::try_from(at).unwrap_or(u16::MAX),
                form: pattern.form,
            });
            bytes.extend_from_slice(&pattern.bytes);
        }
        grams.sort_unstable();
        // Between 64 and 128 bits for each gram: at most one lookup in 64 passes. Passing costs some fifty times as much as
        // not passing.
        let bits = (grams.len() * 128).max(1).ilog2().clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        let mut filter = Zeroizing::new(vec![0u64; 1 << (bits - 6)]);
        let shift = 32 - bits;
        for entry in grams.iter() {
            let (word, bit) = filter_bit(low_u32(entry >> 32), shift);
            if let Some(word) = filter.get_mut(word) {
                *word |= bit;
            }
        }
        Self {
            bytes,
            spans,
            grams,
            filter,
            shift,
            gram_mask: if length == 4 { u32::MAX } else { 0x00ff_ffff },
        }
    }

    /// Pattern `id`.
    pub(crate) fn get(&self, id: usize) -> Option<Pattern<'_>> {
        let span = self.spans.get(id)?;
        let bytes = self.bytes.get(span.at as usize..(span.at + span.len) as usize)?;
        Some(Pattern { bytes, form: span.form, anchor: usize::from(span.anchor) })
    }

    /// Where the last anchor ends in its pattern, of all patterns.
    pub(crate) fn last_anchor(&self) -> usize {
        self.spans.iter().map(|span| usize::from(span.anchor) + ANCHOR_LEN).max().unwrap_or(0)
    }

    /// Bytes of memory that the set takes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + (self.grams.capacity() + self.filter.capacity()) * 8
    }

    /// Calls `candidate` with the id of every pattern whose anchor may be in `input[from..]`, and with the anchor's
    /// position: for every occurrence whose anchor is, and for some others. The caller compares, and returns the bytes
    /// that it looked at if there is no match. Where the same bytes stand again, `candidate` is not called.
    pub(crate) fn scan(
        &self,
        input: &[u8],
        from: usize,
        memo: &mut Memo,
        mut candidate: impl FnMut(usize, usize) -> Option<Range<usize>>,
    ) {
        memo.begin();
        let mut at = 0;
        let rest = input.get(from..).unwrap_or_default();
        while let Some((next, gram)) = self.next(rest, at) {
            at = next + STRIDE;
            let next = from + next;
            if memo.is_known(input, next) {
                continue;
            }
            let (mut seen, mut has_failed) = (next..next + STRIDE, true);
            for (id, back) in self.with_gram(gram) {
                let failed = next.checked_sub(back).and_then(|anchor| candidate(id, anchor));
                match failed {
                    Some(more) => seen = memo::join(seen, more),
                    None => has_failed = false,
                }
            }
            if has_failed {
                memo.insert(input, next, &seen);
            }
        }
    }

    /// The patterns whose anchor has `gram`, and its distance from the anchor's start.
    fn with_gram(&self, gram: u32) -> impl Iterator<Item = (usize, usize)> {
        let first = self.grams.partition_point(|entry| low_u32(entry >> 32) < gram);
        let equal = self.grams.iter().skip(first).take_while(move |entry| low_u32(*entry >> 32) == gram);
        equal.map(|entry| {
            let low = low_u32(*entry);
            ((low >> BACK_BITS) as usize, (low & ((1 << BACK_BITS) - 1)) as usize)
        })
    }

    fn gram_length(&self) -> usize {
        if self.gram_mask == u32::MAX { 4 } else { 3 }
    }

    #[inline(always)]
    fn passes(&self, word: [u8; 4]) -> bool {
        let (word, bit) = filter_bit(u32::from_le_bytes(word) & self.gram_mask, self.shift);
        match self.filter.get(word) {
            Some(word) => word & bit != 0,
            None => false,
        }
    }

    /// The first position not before `from` (both multiples of [`STRIDE`]) whose gram passes the filter.
    fn next(&self, input: &[u8], from: usize) -> Option<(usize, u32)> {
        let rest = input.get(from..)?;
        // Four lookups in each round: the loop costs less, and the processor does them in parallel.
        let (blocks, _) = rest.as_chunks::<16>();
        let mut skipped = 0;
        for block in blocks {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
            let first = self.passes([a, b, c, d]) | self.passes([e, f, g, h]);
            let second = self.passes([i, j, k, l]) | self.passes([m, n, o, p]);
            if first | second {
                break;
            }
            skipped += 16;
        }
        let (words, tail) = rest.get(skipped..)?.as_chunks::<STRIDE>();
        let at = match words.iter().position(|word| self.passes(*word)) {
            Some(index) => from + skipped + index * STRIDE,
            None => {
                let &[a, b, c] = tail else { return None };
                if self.gram_mask == u32::MAX || !self.passes([a, b, c, 0]) {
                    return None;
                }
                input.len() - 3
            }
        };
        Some((at, gram(input.get(at..)?, self.gram_length())?))
    }
}

/// Word and bit of a gram in the filter.
#[inline(always)]
fn filter_bit(gram: u32, shift: u32) -> (usize, u64) {
    let hash = gram.wrapping_mul(0x9e37_79b1) >> shift;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// Whether a piece of a longer value is padding or zeros, as in other files.
pub(crate) fn is_monotonous(piece: &[u8]) -> bool {
    let mut bytes = Zeroizing::new(piece.to_vec());
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len() < MIN_DISTINCT
}

/// Saturates. The patterns of one set are far below 4 GiB; beyond it they are not found.
fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn low_u32(n: u64) -> u32 {
    (n & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(patterns: &[Vec<u8>], input: &[u8]) -> Vec<(usize, usize)> {
        let encoded: Vec<Encoded> = patterns.iter().map(|p| Encoded::new(Form::Text, p)).collect();
        let set = Patterns::new(&encoded);
        let mut all = Vec::new();
        set.scan(input, 0, &mut Memo::default(), |id, anchor| {
            let pattern = set.get(id).unwrap();
            let start = anchor.checked_sub(pattern.anchor).unwrap_or(usize::MAX);
            if input.get(start..).is_some_and(|at| at.starts_with(pattern.bytes)) {
                all.push((id, start));
            }
            None
        });
        all.sort_unstable();
        all.dedup();
        all
    }

    fn naive(patterns: &[Vec<u8>], input: &[u8]) -> Vec<(usize, usize)> {
        let at = |p: &Vec<u8>| (0..input.len()).filter(|i| input[*i..].starts_with(p)).collect::<Vec<_>>();
        patterns.iter().enumerate().flat_map(|(id, p)| at(p).into_iter().map(move |i| (id, i))).collect()
    }

    proptest! {
        #[test]
        fn every_occurrence_is_found(
            patterns in proptest::collection::vec(proptest::collection::vec(b'a'..b'd', 6..20), 1..6),
            input in proptest::collection::vec(b'a'..b'd', 0..400),
        ) {
            prop_assert_eq!(found(&patterns, &input), naive(&patterns, &input));
        }
    }
}
