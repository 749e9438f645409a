//! The comparison of a value with the input around an anchor, outwards in both directions.
//!
//! A [`Form`] says how the value was encoded, and so which spellings of each of its bytes are accepted. The comparison
//! follows all of them at once: where the input can be read in two ways (`''` is two quotes, or one that was doubled),
//! it goes on with both. It is exact: the input between the ends of a match decodes to the value.

use std::ops::Range;

use crate::spelling::{self, MAX_TOKEN, Step, Steps, is_lead};
use crate::{base64_text, hex, utf16};

/// Most input bytes that one match may span. The longest value that is compared as a whole, in the longest usual
/// encoding (`\u0061`: six bytes each), is shorter.
pub(crate) const MAX_SPAN: usize = 32 << 10;

/// Most ways to read the input that are followed at once. Ordinary input has one or two; a run of quotes or backslashes
/// in a value has one for each of its characters.
const MAX_READINGS: usize = 32;

/// Longest spelling of one byte or character of text, with indentation.
const LONGEST: usize = spelling::MAX_INDENT + MAX_TOKEN;

/// Bytes of the input in which the comparison to the left looks for the start of a spelling at a time.
const MAX_RUN: usize = 512;

/// Bytes before a position that the comparison to the left may look at there: more than [`MAX_RUN`], and than any gap.
const LOOK_BACK: usize = MAX_RUN + 8;

/// Bytes after a position that the comparison to the left, or a separator of hexadecimal digits, may look at there.
const LOOK_AHEAD: usize = 512;

/// How the bytes of a pattern are encoded in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As text: each byte in any [spelling](crate::spelling).
    Text,
    /// The pattern is base64: of either alphabet, wrapped anywhere, its special characters in any spelling.
    Base64,
    /// Two hexadecimal digits a byte, with any separators.
    Hex,
    /// The pattern is UTF-16, little-endian.
    Utf16Le,
    /// The pattern is UTF-16, big-endian.
    Utf16Be,
}

impl Form {
    /// Whether white space may stand between the characters.
    pub(crate) fn is_wrapped(self) -> bool {
        matches!(self, Self::Base64 | Self::Hex)
    }

    /// Bytes that [`steps`](Self::steps) may look at from the farthest position on that it adds, or from where it began at
    /// the byte `first`. The longest of a text: nine backslashes, `u0026`, `amp;` three times, and a number.
    fn look_ahead(self, first: Option<u8>) -> usize {
        match self {
            Self::Text if !first.is_some_and(is_lead) => 1,
            Self::Text | Self::Base64 => 64,
            Self::Hex => LOOK_AHEAD,
            Self::Utf16Le | Self::Utf16Be => 4,
        }
    }

    /// Adds the positions after the unit of `pattern` at `at`, if it is at `input[from..]`.
    fn steps(self, pattern: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
        match self {
            Self::Text => spelling::steps(pattern, at, input, from, out),
            Self::Base64 => base64_text::steps(pattern, at, input, from, out),
            Self::Hex => hex::steps(pattern, at, input, from, out),
            Self::Utf16Le => utf16::steps(pattern, at, input, from, b"\r\0", b"\n\0", out),
            Self::Utf16Be => utf16::steps(pattern, at, input, from, b"\0\r", b"\0\n", out),
        }
    }
}

/// What a comparison found from its start to the right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// The end of the longest match, and the marks of its spellings.
    pub(crate) end: Option<(usize, u8)>,
    /// The input ends where the pattern, or a longer match, may go on: how much of the pattern was matched.
    pub(crate) open: Option<usize>,
}

/// Positions still to be compared, without duplicates.
#[derive(Default)]
pub(crate) struct Readings {
    open: Vec<Step>,
    steps: Steps,
    /// The bytes of the input that were looked at, or more.
    seen: Range<usize>,
    /// It does not matter that the input begins where it does.
    is_inside: bool,
    /// Steps taken.
    #[cfg(test)]
    pub(crate) count: u64,
}

impl Readings {
    fn begin(&mut self, first: Step) {
        self.open.clear();
        self.open.push(first);
    }

    /// The bytes that the last comparison looked at. If the same ones stand elsewhere, its result is the same there.
    pub(crate) fn seen(&self) -> Option<Range<usize>> {
        self.is_inside.then(|| self.seen.clone())
    }

    fn add(&mut self, step: Step) {
        let has_room = self.open.len() < MAX_READINGS;
        match self.open.iter_mut().find(|open| (open.value, open.input) == (step.value, step.input)) {
            // The simpler explanation.
            Some(known) if simplicity(step.marks) < simplicity(known.marks) => known.marks = step.marks,
            Some(_) => {}
            None if has_room => self.open.push(step),
            None => {}
        }
    }

    /// Takes the reading with the smallest (or largest) position in the input, so that equal ones meet.
    fn take(&mut self, last: bool) -> Option<Step> {
        let key = |(_, step): &(usize, &Step)| (step.input, step.value);
        let all = self.open.iter().enumerate();
        let (index, _) = if last { all.max_by_key(key)? } else { all.min_by_key(key)? };
        #[cfg(test)]
        {
            self.count += 1;
        }
        Some(self.open.swap_remove(index))
    }

    /// Compares `pattern[at..]` with `input[from..]`.
    pub(crate) fn ahead(
        &mut self,
        form: Form,
        pattern: &[u8],
        at: usize,
        input: &[u8],
        from: usize,
    ) -> Ahead {
        let mut found = Ahead::default();
        let limit = from.saturating_add(MAX_SPAN);
        self.begin(Step { value: at, input: from, marks: 0 });
        (self.seen, self.is_inside) = (from..from, true);
        while let Some(mut step) = self.take(false) {
            let is_equal = run(form, pattern, &mut step, input);
            self.seen.end = self.seen.end.max(step.input + 1);
            if !is_equal {
                continue;
            }
            if step.value >= pattern.len() {
                if found.end.is_none_or(|(end, marks)| {
                    (end, simplicity(step.marks)) < (step.input, simplicity(marks))
                }) {
                    found.end = Some((step.input, step.marks));
                }
                continue;
            }
            if step.input > limit {
                continue;
            }
            let mut steps = std::mem::take(&mut self.steps);
            steps.clear();
            form.steps(pattern, step.value, input, step.input, &mut steps);
            if steps.more {
                found.open = found.open.max(Some(step.value));
            }
            let farthest = steps.as_slice().iter().map(|next| next.input).fold(step.input, usize::max);
            let look_ahead = form.look_ahead(input.get(step.input).copied());
            self.seen.end = self.seen.end.max(farthest + look_ahead);
            for next in steps.as_slice() {
                self.add(Step { marks: next.marks | step.marks, ..*next });
            }
            self.steps = steps;
        }
        found
    }

    /// Compares `pattern[..at]` with what ends at `input[..from]`; returns the start of the longest match, and the marks
    /// of its spellings.
    pub(crate) fn back(
        &mut self,
        form: Form,
        pattern: &[u8],
        at: usize,
        input: &[u8],
        from: usize,
    ) -> Option<(usize, u8)> {
        let mut start = None;
        self.begin(Step { value: at, input: from, marks: 0 });
        self.seen.end = self.seen.end.max(from + LOOK_AHEAD);
        // Where the last byte is that may begin a spelling of more than one byte.
        let mut lead = None;
        while let Some(mut step) = self.take(true) {
            if form == Form::Text {
                let before = |at: usize| {
                    let bytes = input.get(at.saturating_sub(MAX_RUN)..at).unwrap_or_default();
                    bytes
                        .iter()
                        .rposition(|byte| is_lead(*byte))
                        .map_or(at.saturating_sub(MAX_RUN), |lead| at - bytes.len() + lead)
                };
                let reach = *lead.get_or_insert_with(|| before(step.input)) + LONGEST;
                while step.value > 0
                    && step.input > reach
                    && input.get(step.input - 1) == pattern.get(step.value - 1)
                {
                    step.value -= 1;
                    step.input -= 1;
                }
                if step.value > 0 && step.input > reach {
                    continue;
                }
                if step.input <= reach {
                    lead = None;
                }
            }
            match step.input.checked_sub(LOOK_BACK) {
                Some(first) => self.seen.start = self.seen.start.min(first),
                None => self.is_inside = false,
            }
            if step.value == 0 {
                if start.is_none_or(|(start, _)| step.input < start) {
                    start = Some((step.input, step.marks));
                }
                // A line end of Windows may have lost its first character only there.
                continue;
            }
            let mut steps = std::mem::take(&mut self.steps);
            for before in 0..=4.min(step.value) {
                let value = step.value - before;
                for input_at in starts(form, pattern, value, before, input, step.input) {
                    steps.clear();
                    form.steps(pattern, value, input, input_at, &mut steps);
                    let reached = steps
                        .as_slice()
                        .iter()
                        .find(|next| (next.value, next.input) == (step.value, step.input));
                    if let Some(next) = reached {
                        self.add(Step { value, input: input_at, marks: next.marks | step.marks });
                    }
                }
            }
            self.steps = steps;
        }
        start
    }
}

/// Orders marks by how many kinds of spelling they are.
fn simplicity(marks: u8) -> (u32, u8) {
    (marks.count_ones(), marks)
}

/// Follows the input as far as it can be read in one way only. False if it differs.
#[inline]
fn run(form: Form, pattern: &[u8], step: &mut Step, input: &[u8]) -> bool {
    let is_certain = |byte: u8| match form {
        Form::Text => !is_lead(byte),
        Form::Base64 => byte.is_ascii_alphanumeric(),
        Form::Hex | Form::Utf16Le | Form::Utf16Be => false,
    };
    let value = pattern.get(step.value..).unwrap_or_default();
    let rest = input.get(step.input..).unwrap_or_default();
    let mut equal = 0;
    for (expected, found) in value.iter().zip(rest) {
        if !is_certain(*found) {
            break;
        }
        if expected != found {
            step.input += equal;
            return false;
        }
        equal += 1;
    }
    step.value += equal;
    step.input += equal;
    true
}

/// Where the unit of `pattern` at `value`, `units` before the position that is reached, may begin if it ends at `end`.
fn starts(
    form: Form,
    pattern: &[u8],
    value: usize,
    units: usize,
    input: &[u8],
    end: usize,
) -> impl Iterator<Item = usize> {
    let longest = match form {
        Form::Text if matches!(pattern.get(value), Some(b'\n' | b' ')) => spelling::MAX_INDENT + MAX_TOKEN,
        Form::Text => MAX_TOKEN,
        Form::Base64 if units == 0 => base64_text::MAX_GAP,
        Form::Base64 => MAX_TOKEN,
        Form::Hex if units == 0 => hex::MAX_GAP,
        Form::Hex => 2,
        Form::Utf16Le | Form::Utf16Be => 4,
    };
    let pattern_byte = pattern.get(value).copied();
    let shortest = usize::from(units > 0 && pattern_byte != Some(b'\r'));
    (end.saturating_sub(longest)..=end.saturating_sub(shortest)).rev().filter(move |at| {
        let byte = input.get(*at).copied();
        let before = at.checked_sub(1).and_then(|before| input.get(before)).copied();
        match form {
            Form::Text => (*at + 1 == end && byte == pattern_byte) || byte.is_some_and(is_lead) || *at == end,
            Form::Base64 if units == 0 => base64_text::may_begin_gap(before, byte),
            Form::Base64 => *at + 1 == end || byte.is_some_and(is_lead),
            Form::Hex if units == 0 => hex::may_begin(before),
            Form::Hex => units == 1 && *at + 2 == end,
            Form::Utf16Le | Form::Utf16Be => units == 2 && (*at + 2 == end || *at + 4 == end),
        }
    })
}
