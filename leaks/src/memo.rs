//! What was compared before, and failed.
//!
//! A comparison looks at a few bytes around a position. Where the same bytes stand again, it fails again: text that repeats
//! itself (a run of quotes, half of a value a million times) costs one comparison of bytes at each position instead of
//! many steps. Nothing is given up: other bytes are compared.

use std::ops::Range;

/// Positions that are remembered.
const SLOTS: usize = 1 << 10;

/// Longest rest of a run of one byte that tells positions apart.
const MAX_RUN: usize = 512;

/// Positions of one input at which every comparison failed.
#[derive(Default)]
pub(crate) struct Memo {
    slots: Vec<Slot>,
    /// Counts the inputs.
    input: u32,
    /// The last run of one byte.
    run: Range<usize>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    input: u32,
    at: usize,
    before: usize,
    after: usize,
}

impl Memo {
    /// Forgets all: the next calls are for another input.
    pub(crate) fn begin(&mut self) {
        self.input = self.input.wrapping_add(1);
        if self.input == 0 {
            self.slots.clear();
            self.input = 1;
        }
        self.run = 0..0;
    }

    /// Whether every comparison at `at` fails, because one did that saw the same bytes.
    pub(crate) fn is_known(&mut self, input: &[u8], at: usize) -> bool {
        let key = self.key(input, at);
        let Some(slot) = self.slots.get(key).copied().filter(|slot| slot.input == self.input) else {
            return false;
        };
        let around = |at: usize| input.get(at.checked_sub(slot.before)?..at + slot.after);
        around(at).is_some_and(|bytes| around(slot.at) == Some(bytes))
    }

    /// Remembers that every comparison at `at` failed, and that they saw no other bytes than those in `seen`.
    pub(crate) fn insert(&mut self, input: &[u8], at: usize, seen: &Range<usize>) {
        if seen.end > input.len() || seen.start > at || seen.end < at {
            return;
        }
        let key = self.key(input, at);
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(key) {
            *slot = Slot { input: self.input, at, before: at - seen.start, after: seen.end - at };
        }
    }

    /// The slot for `at`: by the bytes there, and by what follows the run of one byte there.
    fn key(&mut self, input: &[u8], at: usize) -> usize {
        if !self.run.contains(&at) || (self.run.end - at < MAX_RUN && self.run.len() >= MAX_RUN) {
            let rest = input.get(at..).unwrap_or_default();
            let first = rest.first();
            let length = rest.iter().take(2 * MAX_RUN).take_while(|byte| Some(*byte) == first).count();
            self.run = at..at + length;
        }
        let left = (self.run.end - at).min(MAX_RUN);
        let word = |at: usize| {
            let bytes = input.get(at..).and_then(|rest| rest.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let after = if left < MAX_RUN { word(at + left) } else { 0 };
        let mixed = [word(at), after, left as u64]
            .into_iter()
            .fold(0u64, |all, part| (all ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }
}

/// The bytes in both ranges, and those between them.
pub(crate) fn join(all: Range<usize>, more: Range<usize>) -> Range<usize> {
    all.start.min(more.start)..all.end.max(more.end)
}
