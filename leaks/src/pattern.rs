//! Search for many patterns at once.
//!
//! The search checks every fourth position of the input: it looks up the gram there (four bytes, or three when a pattern
//! is too short) in a filter, which nearly always rejects it. The filter holds the grams at four consecutive positions
//! of each pattern, so that one of them is at a checked position wherever the pattern occurs. What passes is
//! compared byte for byte.
//!
//! Why not an automaton: for whole patterns it takes dozens of bytes of memory for each of their bytes, and a hundred
//! keys of 1 KiB in all encodings are some 2 MB of patterns. Over the same anchors, aho-corasick read 0.06 to 0.33 GB/s,
//! less the more anchors there were, where this reads 0.75 to 3.9 (10 to 100 secrets, `cargo bench -p leaks`); layers of images, and a
//! build's output, have to be read at more than 0.3.

use zeroize::Zeroizing;

/// Distance between checked positions of the input.
const STRIDE: usize = 4;

/// Length of a pattern's anchor: the bytes of four overlapping grams, one for each alignment.
pub(crate) const ANCHOR_LEN: usize = 4 + STRIDE - 1;

/// Largest offset of an anchor in its pattern. The finder keeps as much of the previous input.
const MAX_ANCHOR_OFFSET: usize = 240;

/// Bytes before a chunk's start that are needed to find a match across it.
pub(crate) const LOOK_BACK: usize = MAX_ANCHOR_OFFSET + ANCHOR_LEN;

/// Shortest pattern that can be searched for.
pub(crate) const MIN_PATTERN: usize = ANCHOR_LEN - 1;

/// Fewest different bytes that a piece of a longer value must have.
const MIN_DISTINCT: usize = 10;

const FILTER_BITS: std::ops::RangeInclusive<u32> = 17..=22;

/// One pattern of [`Patterns`].
#[derive(Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
    anchor: u32,
}

/// Where in a pattern the anchor is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// At the first byte, so that a match is noticed before it is complete.
    First,
    /// At the bytes that are least common in files, so that few comparisons fail.
    Rarest,
}

/// A set of patterns, ready to be searched for.
pub(crate) struct Patterns {
    /// All patterns, concatenated.
    bytes: Zeroizing<Vec<u8>>,
    spans: Vec<Span>,
    /// Sorted: a gram, its pattern, and its offset in the anchor, as `gram << 32 | id << 2 | offset`.
    grams: Zeroizing<Vec<u64>>,
    /// Bit set of the hashes of all grams: a Bloom filter with one hash function.
    filter: Zeroizing<Vec<u64>>,
    shift: u32,
    gram_mask: u32,
}

/// A possible occurrence. `start` may lie before the input.
pub(crate) struct Candidate {
    pub(crate) id: usize,
    pub(crate) start: isize,
}

impl Patterns {
    /// The id of a pattern is its index. Patterns shorter than [`MIN_PATTERN`] are never found.
    pub(crate) fn new<'a>(patterns: impl Iterator<Item = &'a [u8]> + Clone, anchor: Anchor) -> Self {
        // Large enough not to grow: the old allocation would not be wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(patterns.clone().map(<[u8]>::len).sum()));
        let count = patterns.clone().count();
        let shortest = patterns.clone().map(<[u8]>::len).filter(|len| *len >= MIN_PATTERN).min();
        let gram_mask = if shortest.is_some_and(|len| len >= ANCHOR_LEN) { u32::MAX } else { 0x00ff_ffff };
        let mut spans = Vec::with_capacity(count);
        let mut grams = Zeroizing::new(Vec::with_capacity(count * STRIDE));
        for (id, pattern) in patterns.enumerate() {
            let start = if anchor == Anchor::First { 0 } else { rarest(pattern) };
            for i in 0..STRIDE {
                if let Some(gram) = pattern.get(start + i..).and_then(|at| gram(at, gram_mask)) {
                    grams.push(u64::from(gram) << 32 | (id as u64) << 2 | i as u64);
                }
            }
            spans.push(Span { at: to_u32(bytes.len()), len: to_u32(pattern.len()), anchor: to_u32(start) });
            bytes.extend_from_slice(pattern);
        }
        grams.sort_unstable();
        // Thirty-two bits for each gram: at most one lookup in thirty-two passes, usually one in a hundred or fewer.
        let bits = (grams.len() * 32).max(1).ilog2().clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        let mut filter = Zeroizing::new(vec![0u64; 1 << (bits - 6)]);
        let shift = 32 - bits;
        for entry in grams.iter() {
            let (word, bit) = filter_bit(low_u32(entry >> 32), shift);
            if let Some(word) = filter.get_mut(word) {
                *word |= bit;
            }
        }
        Self { bytes, spans, grams, filter, shift, gram_mask }
    }

    /// The bytes of pattern `id`.
    pub(crate) fn get(&self, id: usize) -> &[u8] {
        let of = |span: &Span| self.bytes.get(span.at as usize..(span.at + span.len) as usize);
        self.spans.get(id).and_then(of).unwrap_or_default()
    }

    /// Bytes of memory that the set takes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + (self.grams.capacity() + self.filter.capacity()) * 8
    }

    /// Calls `candidate` for every pattern whose anchor may be in `input`: for every occurrence whose anchor is, and for
    /// some others. The caller compares.
    pub(crate) fn scan(&self, input: &[u8], mut candidate: impl FnMut(Candidate)) {
        let mut from = 0;
        while let Some((at, gram)) = self.next(input, from) {
            from = at + STRIDE;
            let first = self.grams.partition_point(|entry| low_u32(entry >> 32) < gram);
            for entry in self.grams.iter().skip(first).take_while(|entry| low_u32(*entry >> 32) == gram) {
                let id = (low_u32(*entry) >> 2) as usize;
                let Some(span) = self.spans.get(id) else { continue };
                let start = at.checked_signed_diff(span.anchor as usize + (*entry & 3) as usize);
                candidate(Candidate { id, start: start.unwrap_or(isize::MIN) });
            }
        }
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
        Some((at, gram(input.get(at..)?, self.gram_mask)?))
    }
}

/// The gram at the start of `at`.
fn gram(at: &[u8], mask: u32) -> Option<u32> {
    match *at {
        [a, b, c, d, ..] => Some(u32::from_le_bytes([a, b, c, d]) & mask),
        [a, b, c] if mask != u32::MAX => Some(u32::from_le_bytes([a, b, c, 0])),
        _ => None,
    }
}

/// Word and bit of a gram in the filter.
#[inline(always)]
fn filter_bit(gram: u32, shift: u32) -> (usize, u64) {
    let hash = gram.wrapping_mul(0x9e37_79b1) >> shift;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// The offset of the anchor that is least common in files: few zeros, words and repetitions.
fn rarest(pattern: &[u8]) -> usize {
    let score = |window: &[u8]| {
        let each = window.iter().map(|byte| match byte {
            0 | 0xff | b' ' | b'-' | b'=' | b'\n' => 0,
            b'a'..=b'z' | b'A' => 1,
            b'/' | b'.' | b'"' | b'%' => 1,
            _ => 3,
        });
        let repeated = window.windows(2).filter(|pair| pair.first() == pair.last()).count();
        each.sum::<usize>().saturating_sub(3 * repeated)
    };
    let windows = pattern.windows(ANCHOR_LEN).take(MAX_ANCHOR_OFFSET + 1).enumerate();
    // Reversed for the first of equals: `max_by_key` returns the last.
    windows.rev().max_by_key(|(_, window)| score(window)).map_or(0, |(at, _)| at)
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

    fn found(patterns: &[Vec<u8>], input: &[u8], anchor: Anchor) -> Vec<(usize, usize)> {
        let set = Patterns::new(patterns.iter().map(Vec::as_slice), anchor);
        let mut all = Vec::new();
        set.scan(input, |candidate| {
            let start = usize::try_from(candidate.start).unwrap_or(usize::MAX);
            if input.get(start..).is_some_and(|at| at.starts_with(set.get(candidate.id))) {
                all.push((candidate.id, start));
            }
        });
        all.sort_unstable();
        all
    }

    fn naive(patterns: &[Vec<u8>], input: &[u8]) -> Vec<(usize, usize)> {
        let at = |p: &Vec<u8>| (0..input.len()).filter(|i| input[*i..].starts_with(p)).collect::<Vec<_>>();
        patterns.iter().enumerate().flat_map(|(id, p)| at(p).into_iter().map(move |i| (id, i))).collect()
    }

    proptest! {
        #[test]
        fn every_occurrence_is_found(
            patterns in proptest::collection::vec(proptest::collection::vec(0u8..3, 6..20), 1..6),
            input in proptest::collection::vec(0u8..3, 0..400),
        ) {
            prop_assert_eq!(found(&patterns, &input, Anchor::First), naive(&patterns, &input));
            prop_assert_eq!(found(&patterns, &input, Anchor::Rarest), naive(&patterns, &input));
        }
    }

    #[test]
    fn the_anchor_avoids_bytes_that_are_common_in_files() {
        assert_eq!(rarest(b"-----BEGIN A 9Xq7Zt4Q"), 13);
        assert_eq!(rarest(b"\0\0\0\0\0\0\0\0"), 0);
    }
}
