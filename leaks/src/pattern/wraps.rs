//! Anchors that a line end breaks: the grams across it, joined as if it were not there.
//!
//! Base64 and hexadecimal digits may be broken by any line end, and by its escape in a string. Text is broken by `=` at
//! the end of a line (quoted-printable) or by `\` (YAML, and strings of other languages).

use super::Patterns;
use crate::anchor::gram;
use crate::base64_text::{MAX_GAP, gap, is_blank, is_digit};
use crate::compare::Form;
use crate::spelling::skip_blanks;

/// Bytes on each side of a line end of which some are in a gram.
const SIDE: usize = 3;

/// Where the bytes around a line end are in the input, those before it first. `None` where it ends.
type Around = [Option<usize>; 2 * SIDE];

impl Patterns {
    /// As [`scan`](Self::scan), for anchors that are broken by a line end in `input[from..]`.
    pub(crate) fn scan_wraps<T>(
        &self,
        input: &[u8],
        from: usize,
        mut candidate: impl FnMut(usize, usize) -> T,
    ) {
        let byte = |at: usize| input.get(at).copied();
        let before = |at: usize| at.checked_sub(1).and_then(byte);
        for at in memchr::memchr2_iter(b'\n', b'\\', input.get(from..).unwrap_or_default()) {
            let at = from + at;
            let is_escape = byte(at) == Some(b'\\');
            if is_escape && !matches!(byte(at + 1), Some(b'n' | b'r' | b'\\' | b'\n')) {
                continue;
            }
            let start = at - usize::from(!is_escape && before(at) == Some(b'\r'));
            if !is_escape && before(start) == Some(b'=') {
                self.join_text(input, start - 1, at + 1, &mut candidate);
                self.join_digits(input, start - 1, at + 1, &mut candidate);
            } else if is_escape && byte(at + 1) == Some(b'\n') {
                self.join_text(input, at, skip_blanks(input, at + 2), &mut candidate);
                self.join_digits(input, at, at + 1, &mut candidate);
            } else {
                self.join_digits(input, start, at + 1, &mut candidate);
            }
        }
    }

    /// Looks for anchors of text around `input[start..end]`, which breaks a line of it.
    fn join_text<T>(
        &self,
        input: &[u8],
        start: usize,
        end: usize,
        candidate: &mut impl FnMut(usize, usize) -> T,
    ) {
        let mut around: Around = [None; 2 * SIDE];
        let (left, right) = around.split_at_mut(SIDE);
        for (slot, back) in left.iter_mut().rev().zip(1..) {
            *slot = start.checked_sub(back);
        }
        for (slot, at) in right.iter_mut().zip(end..input.len()) {
            *slot = Some(at);
        }
        self.join(input, &around, |id, form, first, back| {
            if form == Form::Text
                && let Some(anchor) = first.checked_sub(back)
            {
                candidate(id, anchor);
            }
        });
    }

    /// Looks for anchors of base64 and hexadecimal digits around a line end that begins at `start`, and at `next` goes on
    /// with the next line in nearly all files.
    fn join_digits<T>(
        &self,
        input: &[u8],
        start: usize,
        next: usize,
        candidate: &mut impl FnMut(usize, usize) -> T,
    ) {
        let byte = |at: usize| input.get(at).copied();
        let is_digit_at = |at: usize| byte(at).is_some_and(is_digit);
        if !start.checked_sub(1).is_some_and(is_digit_at) {
            return;
        }
        let end = if is_digit_at(next) && byte(start) != Some(b'\\') { next } else { gap(input, start).0 };
        if end == start || !is_digit_at(end) {
            return;
        }
        let sides =
            (start.checked_sub(SIDE).and_then(|from| input.get(from..start)), input.get(end..end + SIDE));
        if let (Some(&[a, b, c]), Some(&[d, e, f])) = sides
            && [a, b, c, d, e, f].into_iter().all(is_digit)
        {
            let grams = [[a, b, c, d], [b, c, d, e], [c, d, e, f]];
            if self.gram_length() == 4 && !grams.into_iter().any(|gram| self.passes(gram)) {
                return;
            }
        }
        // The characters around it, in order, and where they are.
        let mut around: Around = [None; 2 * SIDE];
        let mut left = Some(start);
        for slot in around.iter_mut().take(SIDE).rev() {
            left = left.and_then(|at| digit_before(input, at));
            *slot = left;
        }
        let mut right = Some(end);
        for slot in around.iter_mut().skip(SIDE) {
            *slot = right.filter(|at| is_digit_at(*at));
            right = slot.map(|at| if is_digit_at(at + 1) { at + 1 } else { gap(input, at + 1).0 });
        }
        self.join(input, &around, |id, form, first, back| {
            let anchor = (0..back).try_fold(first, |at, _| digit_before(input, at));
            if form.is_wrapped()
                && let Some(anchor) = anchor
            {
                candidate(id, anchor);
            }
        });
    }

    /// Calls `found` for the patterns with a gram of the bytes at `around`: with its form, with where the gram begins, and with
    /// the distance from the anchor's start to it.
    fn join(&self, input: &[u8], around: &Around, mut found: impl FnMut(usize, Form, usize, usize)) {
        let length = self.gram_length();
        for window in around.windows(length) {
            let mut bytes = [0u8; 4];
            let mut is_complete = true;
            for (byte, at) in bytes.iter_mut().zip(window) {
                match at.and_then(|at| input.get(at)) {
                    Some(found) => *byte = *found,
                    None => is_complete = false,
                }
            }
            let Some(&Some(first)) = window.first() else { continue };
            if !is_complete || !self.passes(bytes) {
                continue;
            }
            let Some(gram) = gram(&bytes, length) else { continue };
            for (id, back) in self.with_gram(gram) {
                if let Some(span) = self.spans.get(id) {
                    found(id, span.form, first, back);
                }
            }
        }
    }
}

/// The position of the last character of base64 before `at`, over line ends.
fn digit_before(input: &[u8], at: usize) -> Option<usize> {
    let byte_before = |at: usize| at.checked_sub(1).and_then(|at| input.get(at)).copied();
    let mut at = at;
    for _ in 0..MAX_GAP {
        let last = byte_before(at)?;
        let is_escape = matches!(last, b'n' | b'r') && byte_before(at - 1) == Some(b'\\');
        let is_soft = last == b'=' && matches!(input.get(at), Some(b'\n' | b'\r'));
        if is_escape {
            at -= 2;
        } else if is_digit(last) {
            return Some(at - 1);
        } else if is_blank(last) || last == b'\\' || is_soft {
            at -= 1;
        } else {
            return None;
        }
    }
    None
}
