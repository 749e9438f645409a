//! Masks secrets in output.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use proto::{Key, Secret};
use zeroize::Zeroizing;

use crate::base64_text;
use crate::compare::{Ahead, Form, Readings};
use crate::encoding::{Encoded, forms};
use crate::hex;
use crate::limits::MASK_MIN;
use crate::memo::Memo;
use crate::pattern::{Patterns, is_monotonous};
use crate::utf16::little_endian;
use crate::value::values;

mod starts;

use starts::Starts;

/// Written in place of a secret.
const REPLACEMENT: &[u8] = b"***";

/// Longer values are masked in pieces of at most this many bytes, so that a stream holds back little, and a part of a long
/// secret is masked too. Longer than a line of a key.
const MAX_PIECE: usize = 512;

/// What may stand between two pieces of a value: line ends in base64, separators of hexadecimal digits.
const BETWEEN: &[u8] = b" \t\r\n\\nr:-,;0xX%";
const MAX_BETWEEN: usize = 64;

/// Only this many bytes of a longer value are masked as a whole (its parts are masked wherever they are).
const MAX_VALUE: usize = 64 << 10;

/// Most bytes that a stream holds back. A piece in an ordinary encoding takes at most six bytes each.
const MAX_HELD: usize = 16 << 10;

/// Limits of the bytes at the end of the output in which starts of values are looked for one by one. A value that starts
/// before them has its anchor in the output.
const LOOK_BACK: std::ops::RangeInclusive<usize> = 128..=1024;

/// Finds secrets in output; shared by the streams of one child.
///
/// It masks every value of a secret of at least [`MASK_MIN`] bytes, in every [`Encoding`](crate::Encoding).
pub struct Mask {
    patterns: Patterns,
    /// By the pattern's id.
    pieces: Vec<Piece>,
    starts: Starts,
    look_back: usize,
}

/// What a pattern is a piece of.
#[derive(Default)]
struct Piece {
    /// It continues the pattern before.
    continues: bool,
    /// The next pattern continues it.
    goes_on: bool,
    /// What may follow base64: a character that the value shares with other bytes, and padding.
    endings: Vec<Zeroizing<Vec<u8>>>,
    /// Bits of the shared character that the value gives.
    shared_bits: u32,
}

impl Mask {
    /// `None` if there is nothing to mask.
    pub fn new(secrets: &[(Key, &Secret)]) -> Option<Self> {
        let mut patterns: Vec<Encoded> = Vec::new();
        let mut pieces = Vec::new();
        for (_, secret) in secrets {
            for value in values(secret.expose()) {
                let value = value.bytes.get(..MAX_VALUE).unwrap_or(&value.bytes);
                for (form, bytes) in forms(value) {
                    let first = patterns.len();
                    cut(form, &bytes, &mut patterns, &mut pieces);
                    if form == Form::Base64
                        && patterns.len() > first
                        && let Some(last) = pieces.last_mut()
                    {
                        last.set_endings(value, &bytes);
                    }
                }
            }
        }
        if patterns.is_empty() {
            return None;
        }
        let starts = Starts::new(&patterns);
        let patterns = Patterns::new(&patterns);
        // Escapes take six bytes each.
        let look_back = (patterns.last_anchor() * 6 + 64).clamp(*LOOK_BACK.start(), *LOOK_BACK.end());
        Some(Self { patterns, pieces, starts, look_back })
    }

    /// Whether anything in `secret` is long and rare enough to be masked.
    pub fn covers(secret: &Secret) -> bool {
        !values(secret.expose()).is_empty()
    }

    /// Begins a stream of output. Each one of the child (stdout, stderr) needs its own.
    pub fn stream(self: &Arc<Self>) -> MaskStream {
        MaskStream {
            mask: Arc::clone(self),
            held: Zeroizing::default(),
            settled: 0,
            covered: None,
            goes_on: false,
            firm: None,
            work: Work::default(),
        }
    }

    fn find(&self, output: &[u8], work: &mut Work) -> Found {
        let Work { readings, memo, starts } = work;
        let mut found = Found { matches: Vec::new(), hold: output.len(), firm: None };
        let mut check = |id: usize, at: usize| self.check(output, id, at, readings, &mut found);
        self.patterns.scan(output, 0, memo, &mut check);
        self.patterns.scan_wraps(output, 0, &mut check);
        self.starts
            .find(output, self.look_back, starts, |id, start| {
                let pattern = self.patterns.get(id)?;
                let ahead = readings.ahead(pattern.form, pattern.bytes, 0, output, start);
                if let Some(matched) = ahead.open {
                    found.open(output, start, characters(pattern.form, matched));
                }
                if ahead == Ahead::default() { readings.seen() } else { None }
            })
            .into_iter()
            .for_each(|start| found.open(output, start, 0));
        // The longest of those that begin at one byte first.
        found.matches.sort_unstable_by_key(|found| (found.start, usize::MAX - found.end));
        found
    }

    /// Compares pattern `id` around the anchor at `at`. Returns the bytes that it looked at if there is no match.
    fn check(
        &self,
        output: &[u8],
        id: usize,
        at: usize,
        readings: &mut Readings,
        found: &mut Found,
    ) -> Option<Range<usize>> {
        let pattern = self.patterns.get(id)?;
        let ahead = readings.ahead(pattern.form, pattern.bytes, pattern.anchor, output, at);
        if ahead == Ahead::default() {
            return readings.seen();
        }
        let back = readings.back(pattern.form, pattern.bytes, pattern.anchor, output, at);
        let Some((start, _)) = back else { return readings.seen() };
        let mut open = ahead.open;
        if let (Some((end, _)), Some(piece)) = (ahead.end, self.pieces.get(id)) {
            let (end, more) = match pattern.form {
                Form::Base64 => base64_text::end(&piece.endings, piece.shared_bits, output, end),
                Form::Hex => hex::end(pattern.bytes, output, end),
                Form::Text | Form::Utf16Le | Form::Utf16Be => (end, false),
            };
            let Piece { continues, goes_on, .. } = *piece;
            found.matches.push(Match { start, end, continues, goes_on });
            open = open.or(more.then_some(pattern.bytes.len()));
        }
        if let Some(matched) = open {
            found.open(output, start, characters(pattern.form, matched));
        }
        None
    }
}

/// What a stream keeps for its comparisons.
#[derive(Default)]
struct Work {
    readings: Readings,
    /// Of anchors.
    memo: Memo,
    /// Of the starts of values.
    starts: Memo,
}

/// Adds the pieces of `bytes` to `patterns`.
fn cut(form: Form, bytes: &[u8], patterns: &mut Vec<Encoded>, pieces: &mut Vec<Piece>) {
    let count = bytes.len().div_ceil(MAX_PIECE).max(1);
    let size = bytes.len().div_ceil(count).next_multiple_of(2);
    let mut rest = bytes;
    let mut continues = false;
    while !rest.is_empty() {
        let mut end = size.min(rest.len());
        // No character is cut in two.
        while form == Form::Text && end > MASK_MIN && rest.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        // The zeros of a keystore would mask other zeros.
        let is_rare = count == 1 || !is_monotonous(piece);
        if is_rare && piece.len() >= MASK_MIN {
            let anchors = Encoded::all(form, piece).count();
            if continues {
                pieces.iter_mut().rev().take(anchors).for_each(|before| before.goes_on = true);
            }
            for pattern in Encoded::all(form, piece) {
                patterns.push(pattern);
                pieces.push(Piece { continues, ..Piece::default() });
            }
            continues = true;
        } else {
            continues = false;
        }
        rest = after;
    }
}

fn is_between(gap: &[u8]) -> bool {
    gap.len() <= MAX_BETWEEN && gap.iter().all(|byte| BETWEEN.contains(byte))
}

impl Piece {
    /// Sets what may follow the base64 `text` of `value`, or of its UTF-16.
    fn set_endings(&mut self, value: &[u8], text: &[u8]) {
        let utf16 = std::str::from_utf8(value).map(little_endian).unwrap_or_default();
        for bytes in [value, &utf16] {
            for before in 0..3 {
                if *base64_text::determined(bytes, before) == *text {
                    self.endings = base64_text::endings(bytes, before);
                    self.shared_bits = base64_text::shared_bits(bytes.len(), before);
                    return;
                }
            }
        }
    }
}

/// How many characters of an encoded value `matched` bytes of the pattern are.
fn characters(form: Form, matched: usize) -> usize {
    match form {
        Form::Text | Form::Base64 => matched,
        Form::Hex => matched * 2,
        Form::Utf16Le | Form::Utf16Be => matched / 2,
    }
}

struct Match {
    start: usize,
    end: usize,
    /// It is a piece that continues another one.
    continues: bool,
    /// Another piece continues it.
    goes_on: bool,
}

/// What was found in some output.
struct Found {
    /// By their start.
    matches: Vec<Match>,
    /// Where an incomplete match may begin.
    hold: usize,
    /// Where one begins of which at least [`MASK_MIN`] characters are there.
    firm: Option<usize>,
}

impl Found {
    /// Keeps the start of a match that more output may complete.
    fn open(&mut self, output: &[u8], start: usize, characters: usize) {
        if output.len() - start > MAX_HELD {
            return;
        }
        self.hold = self.hold.min(start);
        if characters >= MASK_MIN && self.firm.is_none_or(|firm| start < firm) {
            self.firm = Some(start);
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// One stream of output on its way through a [`Mask`].
///
/// Each run of overlapping matches becomes `***`, so that nothing of a secret is left between matches. All other bytes
/// pass unchanged and at once, except those at the end that may begin a match: at most 16 KiB are held back, until more
/// output shows that they do not, or [`finish`](Self::finish) is called at the end of the stream. A line end shows it
/// unless an encoding of the value goes on in the next line. Fewer than [`MASK_MIN`] characters of a secret can be
/// [released](Self::release_short).
pub struct MaskStream {
    mask: Arc<Mask>,
    /// The bytes at the end that may begin a match.
    held: Zeroizing<Vec<u8>>,
    /// How many of them were written already: masked, or released.
    settled: usize,
    /// Where in them the last `***` ends.
    covered: Option<usize>,
    /// The last `***` stands for a piece that the next output may continue.
    goes_on: bool,
    /// Where in them a match may begin of which too much is there to be released.
    firm: Option<usize>,
    work: Work,
}

impl MaskStream {
    /// Takes `input`, and appends to `out` what can be written now.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let hold = self.pass(input, out);
            self.hold(input.get(hold..).unwrap_or_default());
        } else {
            self.hold(input);
            let held = std::mem::take(&mut self.held);
            let hold = self.pass(&held, out);
            self.held = held;
            self.held.drain(..hold);
        }
    }

    /// Steps of comparison so far.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> u64 {
        self.work.readings.count
    }

    /// Adds to the bytes held.
    fn hold(&mut self, bytes: &[u8]) {
        let length = self.held.len() + bytes.len();
        if self.held.capacity() < length {
            // A new allocation, because growing would not wipe the old one.
            let mut held = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            held.extend_from_slice(&self.held);
            self.held = held;
        }
        self.held.extend_from_slice(bytes);
    }

    /// Writes what of `all` can be written, and returns from where the rest is to be held.
    fn pass(&mut self, all: &[u8], out: &mut Vec<u8>) -> usize {
        let Found { matches, mut hold, firm } = self.mask.find(all, &mut self.work);
        for found in matches {
            // The bytes before it may begin a longer secret that includes it.
            if found.start > hold.max(self.settled) {
                break;
            }
            self.write_match(all, &found, out);
        }
        if let Some(covered) = self.covered.filter(|_| self.goes_on)
            && all.get(covered..hold).is_some_and(is_between)
        {
            hold = hold.min(covered);
        }
        out.extend_from_slice(all.get(self.settled..hold).unwrap_or_default());
        self.settled = self.settled.saturating_sub(hold);
        self.covered = self.covered.and_then(|covered| covered.checked_sub(hold));
        self.firm = firm.map(|firm| firm - hold);
        hold
    }

    /// Appends the bytes held back to `out` if they are fewer than [`MASK_MIN`] characters of a secret, for a stream that has
    /// been quiet for a moment: a prompt may end with the first letters of a secret. If the rest of the secret follows, it
    /// is still masked.
    pub fn release_short(&mut self, out: &mut Vec<u8>) {
        let end = self.firm.unwrap_or(self.held.len());
        self.release(end, out);
    }

    /// Whether [`release_short`](Self::release_short) would write anything.
    pub fn is_holding_short(&self) -> bool {
        self.settled < self.firm.unwrap_or(self.held.len())
    }

    /// Appends the bytes held back to `out`: the end of the stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.held.len(), out);
        self.held = Zeroizing::default();
        (self.settled, self.covered, self.firm) = (0, None, None);
    }

    /// Writes the bytes held up to `end`.
    fn release(&mut self, end: usize, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        for found in self.mask.find(&held, &mut self.work).matches {
            if found.start < end {
                self.write_match(&held, &found, out);
            }
        }
        out.extend_from_slice(held.get(self.settled..end).unwrap_or_default());
        self.settled = self.settled.max(end);
        self.held = held;
    }

    /// Appends the bytes up to the match, and `***` for it.
    fn write_match(&mut self, all: &[u8], found: &Match, out: &mut Vec<u8>) {
        if found.end <= self.settled {
            return;
        }
        // A match that overlaps the previous one, or is the next piece of its value, shares its `***`.
        let is_shared = self.covered.is_some_and(|covered| {
            let between = all.get(covered..found.start);
            found.start < covered || (found.continues && between.is_some_and(is_between))
        });
        if !is_shared {
            out.extend_from_slice(all.get(self.settled..found.start).unwrap_or_default());
            out.extend_from_slice(REPLACEMENT);
        }
        self.settled = found.end;
        self.covered = Some(found.end);
        self.goes_on = found.goes_on;
    }
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskStream(..)")
    }
}

#[cfg(test)]
mod tests;
