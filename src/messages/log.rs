//! What of the messages that peers can cause is printed: a flood of them must not fill a disk, hide other messages, or
//! drown a build's own output.
//!
//! - Each place in the code that makes a message has a budget of bytes of its own, so a flood hides only messages of its
//!   kind. There are some 100 such places, of which peers reach a few.
//! - The same line again is counted, not printed.
//! - What was left out is summed, a line each [`INTERVAL`].
//!
//! This is for events of `tracing`. Errors that end the program, questions to a person, and the data of a command do not
//! pass here; nor do audit records.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Target of events that are never left out: the signatures that were made. Each took one by the host's agent.
const KEPT: &str = "signature";

/// How often counts are printed, at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// The budget of one place in the code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Bytes that can be printed at once.
    pub(super) burst: usize,
    /// Bytes by which the budget grows again each second.
    pub(super) refill: usize,
}

/// The state of the log.
pub(super) struct Log<Place> {
    limit: Limit,
    places: HashMap<Place, Budget>,
    /// The last line that was printed, and how often it was repeated since.
    last: Option<(String, u64)>,
    /// Messages left out since the last line about them.
    left_out: u64,
    /// When counts were printed last.
    counted: Option<Instant>,
}

struct Budget {
    left: usize,
    refilled: Instant,
}

/// A message: which place in the code made it, and its line.
pub(super) struct Message<'a, Place> {
    pub(super) place: Place,
    pub(super) target: &'a str,
    pub(super) line: String,
}

impl<Place: Hash + Eq> Log<Place> {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, places: HashMap::new(), last: None, left_out: 0, counted: None }
    }

    /// Adds the lines to print to `lines`: often the message alone, or nothing.
    pub(super) fn add(&mut self, message: Message<'_, Place>, now: Instant, lines: &mut Vec<String>) {
        let is_kept = message.target == KEPT;
        if !is_kept
            && let Some((last, repeated)) = &mut self.last
            && *last == message.line
        {
            *repeated += 1;
            self.count(now, lines);
        } else if is_kept || self.is_within_budget(message.place, message.line.len(), now) {
            self.count_repeats(lines);
            self.count(now, lines);
            lines.push(message.line.clone());
            self.last = Some((message.line, 0));
        } else {
            self.left_out += 1;
            self.count(now, lines);
        }
    }

    /// Adds what was counted and not printed yet.
    pub(super) fn finish(&mut self, lines: &mut Vec<String>) {
        self.count_repeats(lines);
        self.count_left_out(lines);
    }

    fn is_within_budget(&mut self, place: Place, length: usize, now: Instant) -> bool {
        let Limit { burst, refill } = self.limit;
        let budget = self.places.entry(place).or_insert(Budget { left: burst, refilled: now });
        let seconds = now.saturating_duration_since(budget.refilled).as_secs();
        if seconds > 0 {
            budget.refilled += Duration::from_secs(seconds);
            let grown = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(refill);
            budget.left = budget.left.saturating_add(grown).min(burst);
        }
        match budget.left.checked_sub(length) {
            Some(left) => {
                budget.left = left;
                true
            }
            None => false,
        }
    }

    /// Adds the counts, if it is time.
    fn count(&mut self, now: Instant, lines: &mut Vec<String>) {
        let has_counts = self.left_out > 0 || self.last.as_ref().is_some_and(|(_, repeated)| *repeated > 0);
        if !has_counts {
            return;
        }
        let since = *self.counted.get_or_insert(now);
        if now.saturating_duration_since(since) >= INTERVAL {
            self.finish(lines);
            self.counted = Some(now);
        }
    }

    fn count_repeats(&mut self, lines: &mut Vec<String>) {
        if let Some((_, repeated)) = &mut self.last
            && *repeated > 0
        {
            let times = if *repeated == 1 { "time" } else { "times" };
            lines.push(format!("the last message was repeated {repeated} {times}"));
            *repeated = 0;
        }
    }

    fn count_left_out(&mut self, lines: &mut Vec<String>) {
        if self.left_out > 0 {
            let messages = if self.left_out == 1 { "message was" } else { "messages were" };
            lines.push(format!("{} {messages} left out: too many of one kind", self.left_out));
            self.left_out = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { burst: 100, refill: 10 };

    fn add(log: &mut Log<u8>, place: u8, line: &str, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        log.add(Message { place, target: "any", line: line.to_owned() }, now, &mut lines);
        lines
    }

    fn finish(log: &mut Log<u8>) -> Vec<String> {
        let mut lines = Vec::new();
        log.finish(&mut lines);
        lines
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let (mut log, now) = (Log::new(LIMIT), Instant::now());
        let printed: usize = (0..1000)
            .flat_map(|number| add(&mut log, 1, &format!("line {number:04}"), now))
            .map(|line| line.len())
            .sum();
        assert_eq!(printed, 99);
        assert_eq!(add(&mut log, 2, "another", now), ["another"]);
        // Once in ten seconds, while it lasts.
        assert_eq!(
            add(&mut log, 1, &"x".repeat(200), now + INTERVAL),
            ["990 messages were left out: too many of one kind"]
        );
        assert_eq!(add(&mut log, 1, "again", now + INTERVAL), ["again"]);
        assert_eq!(add(&mut log, 1, &"x".repeat(200), now + INTERVAL), [""; 0]);
        assert_eq!(finish(&mut log), ["1 message was left out: too many of one kind"]);
        assert_eq!(finish(&mut log), [""; 0]);
    }

    #[test]
    fn the_budget_grows_again_up_to_its_limit() {
        let (mut log, now) = (Log::new(LIMIT), Instant::now());
        assert_eq!(add(&mut log, 1, &"a".repeat(100), now).len(), 1);
        assert_eq!(add(&mut log, 1, "b", now).len(), 0);
        assert_eq!(add(&mut log, 1, &"c".repeat(10), now + Duration::from_millis(1500)).len(), 1);
        assert_eq!(add(&mut log, 1, "d", now + Duration::from_millis(1900)).len(), 0);
        assert_eq!(add(&mut log, 1, &"e".repeat(10), now + Duration::from_secs(2)).len(), 1);
        let later = now + Duration::from_secs(1 << 40);
        assert_eq!(add(&mut log, 1, &"f".repeat(101), later).len(), 1, "only the count");
        assert_eq!(add(&mut log, 1, &"g".repeat(100), later).len(), 1);
    }

    #[test]
    fn equal_messages_are_counted() {
        let (mut log, now) = (Log::new(LIMIT), Instant::now());
        assert_eq!(add(&mut log, 1, "same", now), ["same"]);
        for _ in 0..41 {
            assert_eq!(add(&mut log, 1, "same", now), [""; 0]);
        }
        assert_eq!(add(&mut log, 2, "other", now), ["the last message was repeated 41 times", "other"]);
        assert_eq!(add(&mut log, 1, "same", now), ["same"]);
        add(&mut log, 1, "same", now);
        assert_eq!(finish(&mut log), ["the last message was repeated 1 time"]);
        // Also while it goes on.
        add(&mut log, 1, "same", now);
        assert_eq!(add(&mut log, 1, "same", now + INTERVAL), ["the last message was repeated 2 times"]);
    }

    #[test]
    fn signatures_are_always_shown() {
        let (mut log, now) = (Log::new(LIMIT), Instant::now());
        for _ in 0..100 {
            let mut lines = Vec::new();
            let message = Message { place: 1, target: KEPT, line: "signed".to_owned() };
            log.add(message, now, &mut lines);
            assert_eq!(lines, ["signed"]);
        }
    }
}
