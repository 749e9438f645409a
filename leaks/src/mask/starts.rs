//! How values start, to notice one before it is complete.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::anchor;
use crate::base64_text::{gap, is_digit};
use crate::compare::Form;
use crate::encoding::Encoded;
use crate::memo::{self, Memo};
use crate::spelling::skip_blanks;

/// Bytes of a start that are looked up.
const LENGTH: usize = 4;

/// The first four bytes of all spellings of all patterns.
pub(super) struct Starts {
    /// Sorted: the bytes, big-endian, and the pattern's id, as `bytes << 32 | id`.
    all: Zeroizing<Vec<u64>>,
    /// Those of patterns that any line end may break.
    wrapped: Zeroizing<Vec<u64>>,
    /// Those of text.
    text: Zeroizing<Vec<u64>>,
    /// Bit set of the first two bytes.
    pairs: Zeroizing<Vec<u64>>,
}

impl Starts {
    pub(super) fn new(patterns: &[Encoded]) -> Self {
        let sorted = |is_wanted: &dyn Fn(&Encoded) -> bool| {
            let mut count = 0;
            let of = |(id, pattern): (u64, &Encoded)| -> Vec<u64> {
                anchor::starts(pattern.form, &pattern.bytes).iter().map(|start| start << 32 | id).collect()
            };
            let numbered =
                || (0u64..).zip(patterns).filter(|(_, pattern)| !pattern.is_second && is_wanted(pattern));
            let all: Vec<Zeroizing<Vec<u64>>> =
                numbered().map(of).map(Zeroizing::new).inspect(|some| count += some.len()).collect();
            let mut sorted = Zeroizing::new(Vec::with_capacity(count));
            all.iter().for_each(|some| sorted.extend_from_slice(some));
            sorted.sort_unstable();
            sorted
        };
        let all = sorted(&|_| true);
        let wrapped = sorted(&|pattern| pattern.form.is_wrapped());
        let text = sorted(&|pattern| pattern.form == Form::Text);
        let mut pairs = Zeroizing::new(vec![0; (1 << 16) / 64]);
        for start in all.iter() {
            let pair = (start >> 48) as usize;
            if let Some(word) = pairs.get_mut(pair / 64) {
                *word |= 1 << (pair % 64);
            }
        }
        Self { all, wrapped, text, pairs }
    }

    /// Calls `candidate` with every pattern, and the position, that starts with the four bytes at one of the last
    /// `look_back` positions of `output`; returns the positions, at the very end, of the starts that are shorter.
    pub(super) fn find(
        &self,
        output: &[u8],
        look_back: usize,
        memo: &mut Memo,
        mut candidate: impl FnMut(usize, usize) -> Option<Range<usize>>,
    ) -> Option<usize> {
        let mut shortest = None;
        memo.begin();
        for at in output.len().saturating_sub(look_back)..output.len() {
            let rest = output.get(at..).unwrap_or_default();
            let is_start = match *rest {
                [first, second, ..] => self.has_pair(first, second),
                _ => true,
            };
            if is_start && !memo.is_known(output, at) {
                let known = rest.get(..LENGTH).unwrap_or(rest);
                let found = matching(&self.all, known);
                if known.len() < LENGTH {
                    shortest = shortest.or((!found.is_empty()).then_some(at));
                } else {
                    let (mut seen, mut has_failed) = (at..at + LENGTH, true);
                    for entry in found {
                        match candidate(id(*entry), at) {
                            Some(more) => seen = memo::join(seen, more),
                            None => has_failed = false,
                        }
                    }
                    if has_failed {
                        memo.insert(output, at, &seen);
                    }
                }
            }
            self.find_wrapped(output, at, &mut candidate);
            self.find_broken_text(output, at, &mut candidate);
        }
        shortest
    }

    /// The same for the characters at `at` without the line ends between them, if there are any.
    fn find_wrapped(
        &self,
        output: &[u8],
        at: usize,
        candidate: &mut impl FnMut(usize, usize) -> Option<Range<usize>>,
    ) {
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\\');
        let head = output.get(at..(at + LENGTH).min(output.len())).unwrap_or_default();
        if !head.iter().any(is_break) || !head.first().copied().is_some_and(is_digit) {
            return;
        }
        let mut known = Zeroizing::new([0; LENGTH]);
        let mut next = at;
        let mut count = 0;
        while let (Some(slot), Some(byte)) = (known.get_mut(count), output.get(next)) {
            if is_digit(*byte) {
                *slot = *byte;
                count += 1;
                next += 1;
            } else {
                let (end, _) = gap(output, next);
                if end == next {
                    return;
                }
                next = end;
            }
        }
        let known = known.get(..count).unwrap_or_default();
        for entry in matching(&self.wrapped, known) {
            candidate(id(*entry), at);
        }
    }

    /// The same for text whose line goes on in the next one.
    fn find_broken_text(
        &self,
        output: &[u8],
        at: usize,
        candidate: &mut impl FnMut(usize, usize) -> Option<Range<usize>>,
    ) {
        let head = output.get(at + 1..(at + LENGTH).min(output.len())).unwrap_or_default();
        if !head.iter().any(|byte| matches!(byte, b'=' | b'\\')) {
            return;
        }
        let mut known = Zeroizing::new([0; LENGTH]);
        let (mut count, mut next, mut is_broken) = (0, at, false);
        while let (Some(slot), Some(byte)) = (known.get_mut(count), output.get(next)) {
            match LineBreak::at(output, next) {
                LineBreak::No => {
                    *slot = *byte;
                    count += 1;
                    next += 1;
                }
                LineBreak::Until(end) if count > 0 => (next, is_broken) = (end, true),
                LineBreak::More if count > 0 => {
                    is_broken = true;
                    break;
                }
                LineBreak::Until(_) | LineBreak::More => return,
            }
        }
        if is_broken {
            let known = known.get(..count).unwrap_or_default();
            for entry in matching(&self.text, known) {
                candidate(id(*entry), at);
            }
        }
    }

    fn has_pair(&self, first: u8, second: u8) -> bool {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.pairs.get(pair / 64).is_some_and(|word| word & 1 << (pair % 64) != 0)
    }
}

/// The end of a line of text that goes on in the next one: `=` of quoted-printable, `\` and blanks of YAML.
enum LineBreak {
    No,
    Until(usize),
    /// The output ends within it.
    More,
}

impl LineBreak {
    fn at(output: &[u8], at: usize) -> Self {
        match (output.get(at), output.get(at + 1), output.get(at + 2)) {
            (Some(b'=' | b'\\'), None, _) | (Some(b'='), Some(b'\r'), None) => Self::More,
            (Some(b'='), Some(b'\n'), _) => Self::Until(at + 2),
            (Some(b'='), Some(b'\r'), Some(b'\n')) => Self::Until(at + 3),
            (Some(b'\\'), Some(b'\n'), _) => Self::Until(skip_blanks(output, at + 2)),
            _ => Self::No,
        }
    }
}

/// The entries of `sorted` that begin with `known`, at most four bytes.
fn matching<'a>(sorted: &'a [u64], known: &[u8]) -> &'a [u64] {
    let prefix = known.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    let free = 64 - 8 * known.len() as u32;
    let low = prefix << free;
    let high = low | ((1u64 << free) - 1);
    let from = sorted.partition_point(|entry| *entry < low);
    let to = sorted.partition_point(|entry| *entry <= high);
    sorted.get(from..to).unwrap_or_default()
}

fn id(entry: u64) -> usize {
    (entry & 0xffff_ffff) as usize
}
