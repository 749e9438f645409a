//! How many bytes of records clients may cause without getting anything for it: refusals, begins and ends of sessions,
//! lists. Beyond that, such records are counted.
//!
//! A holder of the conf can cause such records as fast as it can send: 99 MB of them a second were seen. The budget is one
//! for the bridge, because sessions cost nothing and would each bring a budget of their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes that can be written at once: begin and end of some 20,000 sessions, far more than a build has.
const BURST: u64 = 8 << 20;
/// Bytes a second by which the budget grows again: 22 MB a day, for bridges that live long. Begin and end of a session are
/// some 400 bytes.
const REFILL: u64 = 256;

/// What a record that is not written is counted by: the word of its kind, and of its reason if it has one.
pub(super) type SumKey = (&'static str, &'static str);

/// The bytes left, and what was counted instead of written.
pub(super) struct Budget {
    left: u64,
    refilled: Instant,
    sums: BTreeMap<SumKey, u64>,
    /// Whether anything was counted in the life of this budget.
    was_exceeded: bool,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    Write,
    Counted,
    /// As [`Self::Counted`], for the first time.
    CountedFirst,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, sums: BTreeMap::new(), was_exceeded: false }
    }

    /// Takes the bytes of a record from the budget, or counts the record.
    pub(super) fn take(&mut self, key: SumKey, bytes: usize, now: Instant) -> Allowance {
        self.refill(now);
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Allowance::Write
            }
            None => {
                self.add(key, 1);
                if std::mem::replace(&mut self.was_exceeded, true) {
                    Allowance::Counted
                } else {
                    Allowance::CountedFirst
                }
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.refilled).as_secs();
        if seconds > 0 {
            self.refilled += Duration::from_secs(seconds);
            self.left = seconds.saturating_mul(REFILL).saturating_add(self.left).min(BURST);
        }
    }

    /// The counts since the last call.
    pub(super) fn take_sums(&mut self) -> BTreeMap<SumKey, u64> {
        std::mem::take(&mut self.sums)
    }

    /// Counts again what could not be written.
    pub(super) fn put_back(&mut self, sums: BTreeMap<SumKey, u64>) {
        for (key, count) in sums {
            self.add(key, count);
        }
    }

    fn add(&mut self, key: SumKey, count: u64) {
        let sum = self.sums.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SumKey = ("secret-refused", "unknown-key");

    #[test]
    fn what_exceeds_the_budget_is_counted_until_it_is_refilled() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut written = 0;
        while budget.take(KEY, 1000, start) == Allowance::Write {
            written += 1000;
        }
        assert_eq!(written, BURST / 1000 * 1000);
        assert_eq!(budget.take(("tested", ""), 1000, start), Allowance::Counted);
        assert_eq!(budget.take_sums(), BTreeMap::from([(KEY, 1), (("tested", ""), 1)]));
        assert!(budget.take_sums().is_empty());
        // 4 s bring 1,024 bytes.
        assert_eq!(budget.take(KEY, 1000, start + Duration::from_secs(4)), Allowance::Write);
        assert_eq!(budget.take(KEY, 1000, start + Duration::from_secs(4)), Allowance::Counted);
        // However long nothing happens, no more than the burst is saved.
        let later = start + Duration::from_secs(1 << 30);
        assert_eq!(budget.take(KEY, BURST as usize, later), Allowance::Write);
        assert_eq!(budget.take(KEY, 1, later), Allowance::Counted);
    }

    #[test]
    fn many_short_waits_refill_as_much_as_a_long_one() {
        let mut now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(budget.take(KEY, BURST as usize, now), Allowance::Write);
        for _ in 0..100 {
            now += Duration::from_millis(99);
            budget.refill(now);
        }
        assert_eq!(budget.left, 9 * REFILL);
    }

    #[test]
    fn what_could_not_be_written_is_counted_again() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        budget.take(KEY, BURST as usize + 1, now);
        let sums = budget.take_sums();
        budget.take(KEY, BURST as usize + 1, now);
        budget.put_back(sums);
        assert_eq!(budget.take_sums(), BTreeMap::from([(KEY, 2)]));
    }
}
