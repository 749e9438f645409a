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
        #[cfg(test)]
        if tests::IS_OFF.get() {
            return false;
        }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use base64::prelude::*;
    use proptest::prelude::*;
    use proto::{Key, Secret};

    use crate::{Encoding, Finder, Mask};

    thread_local! {
        pub(super) static IS_OFF: Cell<bool> = const { Cell::new(false) };
    }

    type Results = (Vec<(Encoding, bool, u64)>, Vec<u8>);

    fn results(secret: &Secret, input: &[u8], size: usize) -> Results {
        let pairs: [(Key, &Secret); 1] = [("K".parse().unwrap(), secret)];
        let (finder, mask) = (Finder::new(&pairs).unwrap(), Arc::new(Mask::new(&pairs).unwrap()));
        let (mut search, mut stream, mut out) = (finder.search(), mask.stream(), Vec::new());
        for chunk in input.chunks(size) {
            search.feed(chunk);
            stream.push(chunk, &mut out);
        }
        stream.finish(&mut out);
        (search.hits().iter().map(|hit| (hit.encoding, hit.part, hit.offset)).collect(), out)
    }

    /// The value in one of its encodings, by number.
    fn encoded(value: &str, encoding: usize) -> String {
        let each = |spell: &dyn Fn(u8) -> String| value.bytes().map(spell).collect::<String>();
        match encoding {
            0 => value.to_owned(),
            1 => BASE64_STANDARD.encode(value),
            2 => each(&|byte| format!("%{byte:02X}")),
            3 => each(&|byte| format!("\\\\u{byte:04x}")),
            4 => each(&|byte| format!("&amp;#{byte};")),
            5 => each(&|byte| format!("{byte:02x}: ")),
            6 => value.replace('\\', "\\\\").replace('"', "\\\""),
            7 => value.replace('\'', "'\\''"),
            8 => value.replace('\n', "\\n\\\n   ").replace(' ', "\n      "),
            _ => BASE64_STANDARD.encode(value).replace('A', "A\r\n    "),
        }
    }

    const UNITS: [&str; 16] = [
        "\\", "'", "\"", "%25", "&amp;", " ", "\n", "\r\n   ", "$", "\\n\\\n", "'\"'", "a", "5c", "=",
        "\\u0026", "A",
    ];

    proptest! {
        #[test]
        fn what_is_remembered_changes_no_result(
            value in "[\\\\'\"%&$ \n`aA5+/]{8,24}",
            parts in proptest::collection::vec((0usize..24, 0usize..10, 1usize..30, 0usize..200), 1..24),
            size in prop_oneof![Just(usize::MAX), 1usize..2000],
        ) {
            let secret = Secret::from(value.clone());
            prop_assume!(Finder::covers(&secret));
            let mut input = String::new();
            for (unit, encoding, count, cut) in parts {
                match UNITS.get(unit) {
                    Some(unit) => input.push_str(&unit.repeat(count)),
                    None => {
                        let text = encoded(value.trim_end_matches(['\n', '\r']), encoding);
                        let cut = cut.min(text.len());
                        (0..1 + count / 8).for_each(|_| input.push_str(&text[..cut]));
                    }
                }
            }
            let remembered = results(&secret, input.as_bytes(), size);
            IS_OFF.set(true);
            let expected = results(&secret, input.as_bytes(), size);
            IS_OFF.set(false);
            prop_assert_eq!(remembered, expected);
        }
    }
}
