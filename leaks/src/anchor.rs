//! Anchors: the few bytes of the input by which an occurrence of a pattern is noticed.
//!
//! An anchor is a window of the pattern, in every spelling that tools write. Where the pattern has a run of letters and
//! digits, that is the run alone, and once more for each way to escape everything; otherwise it is the first bytes of
//! every spelling of the window that has the fewest.

use zeroize::Zeroizing;

use crate::compare::Form;
use crate::encoding::Encoded;
use crate::hex;
use crate::spelling::{self, is_plain};

/// Distance between checked positions of the input.
pub(crate) const STRIDE: usize = 4;

/// Largest offset of an anchor in its pattern.
const MAX_OFFSET: usize = 120;

/// Most spellings of one window. More are made only by values of nearly nothing but quotes, dollars and percent signs.
const MAX_HEADS: usize = 1 << 13;

/// Bytes of a value whose digits are an anchor.
const HEX_WINDOW: usize = 4;

/// The anchor of one pattern.
pub(crate) struct Anchor {
    /// Where in the pattern it is.
    pub(crate) at: usize,
    /// Grams of the input, each with the distance from the anchor's start to it.
    pub(crate) grams: Zeroizing<Vec<(u32, u8)>>,
}

/// The first bytes of all spellings.
struct Heads {
    /// Sorted and without duplicates once they are complete: up to eight bytes, big-endian.
    all: Zeroizing<Vec<u64>>,
    length: usize,
}

impl Heads {
    fn new(length: usize) -> Self {
        Self { all: Zeroizing::new(Vec::with_capacity(64)), length }
    }

    fn add(&mut self, text: &[u8]) {
        let packed = text.iter().take(self.length).fold(0, |all, byte| all << 8 | u64::from(*byte));
        if self.all.last() == Some(&packed) || self.all.len() >= 2 * MAX_HEADS {
            return;
        }
        self.all.push(packed);
        if self.all.len() == 2 * MAX_HEADS {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
        self.all.truncate(MAX_HEADS);
    }

    /// Adds all spellings of `pattern[at..]` after `text`, cut to the length. Letters and digits are not escaped.
    fn spell(&mut self, form: Form, pattern: &[u8], at: usize, text: &mut Zeroizing<Vec<u8>>) {
        if text.len() >= self.length {
            return self.add(text);
        }
        let Some(&byte) = pattern.get(at) else { return };
        let length = text.len();
        if is_plain(byte) || matches!(form, Form::Utf16Le | Form::Utf16Be) {
            text.push(byte);
            self.spell(form, pattern, at + 1, text);
            text.truncate(length);
            return;
        }
        let spellings = match form {
            Form::Base64 => spelling::written::of_base64(byte),
            Form::Text | Form::Hex | Form::Utf16Le | Form::Utf16Be => spelling::written::of(pattern, at),
        };
        for (spelled, units) in spellings {
            text.extend_from_slice(&spelled);
            self.spell(form, pattern, at + units, text);
            text.truncate(length);
        }
    }
}

/// The anchor of `encoded` for grams of `gram` bytes. `None` if it is too short.
pub(crate) fn anchor(encoded: &Encoded, gram: usize) -> Option<Anchor> {
    let (form, pattern) = (encoded.form, encoded.bytes.as_slice());
    let window = gram + STRIDE - 1;
    let mut anchor = Anchor { at: 0, grams: Zeroizing::default() };
    match form {
        Form::Hex => {
            let last = pattern.len().checked_sub(HEX_WINDOW)?;
            let letters = |byte: &u8| usize::from(byte & 15 > 9) + usize::from(byte >> 4 > 9);
            let window = |at: usize| pattern.get(at..at + HEX_WINDOW).unwrap_or_default();
            let fewest = |at: &usize| window(*at).iter().map(letters).sum::<usize>();
            anchor.at = (0..=last.min(MAX_OFFSET)).min_by_key(fewest)?;
            if encoded.is_second {
                // Lines have 8, 12 or 16 bytes: no two of their ends break both.
                let (later, earlier) = (anchor.at + HEX_WINDOW + 1, anchor.at.checked_sub(HEX_WINDOW + 1));
                let farthest = if anchor.at * 2 > last { 0 } else { last };
                anchor.at = earlier.unwrap_or(if later <= last { later } else { farthest });
            }
            let bytes = window(anchor.at);
            for upper in [false, true] {
                for style in 0..hex::SEPARATORS.len() + 2 {
                    let (text, informative) = hex::written(bytes, style, upper);
                    anchor.add_window(&text, &informative, gram);
                }
            }
        }
        Form::Text | Form::Base64 | Form::Utf16Le | Form::Utf16Be => {
            let last = pattern.len().checked_sub(window)?;
            let is_fixed = matches!(form, Form::Utf16Le | Form::Utf16Be);
            let is_begin = |at: &usize| {
                if is_fixed {
                    at.is_multiple_of(2)
                } else {
                    pattern.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80)
                }
            };
            let special = |bytes: &[u8]| {
                if is_fixed { 0 } else { bytes.iter().filter(|byte| !is_plain(**byte)).count() }
            };
            let bytes = |at: usize| pattern.get(at..at + window).unwrap_or_default();
            let cost = |at: &usize| (special(bytes(*at)), usize::MAX - rarity(bytes(*at)));
            anchor.at = (0..=last.min(MAX_OFFSET)).filter(is_begin).min_by_key(cost).unwrap_or(0);
            let mut heads = Heads::new(window);
            heads.spell(form, pattern, anchor.at, &mut Zeroizing::new(Vec::with_capacity(64)));
            heads.settle();
            for head in heads.all.iter() {
                let text = Zeroizing::new(head.to_be_bytes());
                let text = text.get(8 - window..).unwrap_or_default();
                (0..STRIDE).for_each(|at| anchor.add(text, at, gram));
            }
            if form == Form::Text {
                for (text, informative) in spelling::written::all_escaped(pattern, anchor.at) {
                    anchor.add_window(&text, &informative, gram);
                }
            }
        }
    }
    anchor.grams.sort_unstable();
    anchor.grams.dedup();
    Some(anchor)
}

impl Anchor {
    fn add(&mut self, text: &[u8], at: usize, length: usize) {
        // Indentation is in every file. Lines of a value that are indented differently have other grams.
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
        if text.get(at..at + length).is_some_and(|gram| gram.iter().all(is_blank)) {
            return;
        }
        if let Some(gram) = text.get(at..).and_then(|text| gram(text, length))
            && let Ok(at) = u8::try_from(at)
        {
            self.grams.push((gram, at));
        }
    }

    /// Adds the grams at four consecutive offsets of `text` that hold the most bytes given by the pattern.
    fn add_window(&mut self, text: &[u8], informative: &[bool], gram: usize) {
        let count =
            |at: usize| informative.get(at..at + gram).unwrap_or_default().iter().filter(|it| **it).count();
        let grams = |at: usize| at..at + STRIDE;
        let Some(last) = text.len().checked_sub(gram + STRIDE - 1) else { return };
        let worth = |at: &usize| {
            let counts = grams(*at).map(count);
            (counts.clone().min(), counts.sum::<usize>(), usize::MAX - at)
        };
        if let Some(best) = (0..=last).max_by_key(worth) {
            grams(best).for_each(|at| self.add(text, at, gram));
        }
    }
}

/// The first four bytes (or fewer, if the pattern may be written with fewer) of all spellings of `pattern`.
pub(crate) fn starts(form: Form, pattern: &[u8]) -> Zeroizing<Vec<u64>> {
    let mut heads = Heads::new(4);
    match form {
        Form::Hex => {
            for upper in [false, true] {
                for style in 0..hex::SEPARATORS.len() + 2 {
                    heads.add(&hex::written(pattern.get(..5).unwrap_or(pattern), style, upper).0);
                }
            }
        }
        Form::Text | Form::Base64 | Form::Utf16Le | Form::Utf16Be => {
            heads.spell(form, pattern, 0, &mut Zeroizing::new(Vec::with_capacity(64)));
            if form == Form::Text {
                spelling::written::all_escaped(pattern, 0).iter().for_each(|(text, _)| heads.add(text));
            }
        }
    }
    heads.settle();
    heads.all
}

/// The gram of `length` bytes (three or four) at the start of `at`.
pub(crate) fn gram(at: &[u8], length: usize) -> Option<u32> {
    match *at {
        [a, b, c, d, ..] if length == 4 => Some(u32::from_le_bytes([a, b, c, d])),
        [a, b, c, ..] if length == 3 => Some(u32::from_le_bytes([a, b, c, 0])),
        _ => None,
    }
}

/// How uncommon `window` is in files: few zeros, words and repetitions.
fn rarity(window: &[u8]) -> usize {
    let each = window.iter().map(|byte| match byte {
        0 | 0xff | b' ' | b'-' | b'=' | b'\n' => 0,
        b'a'..=b'z' | b'A' => 1,
        b'/' | b'.' | b'"' | b'%' => 1,
        _ => 3,
    });
    let repeated = window.windows(2).filter(|pair| pair.first() == pair.last()).count();
    each.sum::<usize>().saturating_sub(3 * repeated)
}
