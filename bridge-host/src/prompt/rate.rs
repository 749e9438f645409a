//! How many questions are asked in a minute.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A limit of questions in any minute.
#[derive(Debug)]
pub(crate) struct QuestionRate {
    limit: usize,
    /// When the last questions were asked, at most `limit` of them.
    asked: Mutex<VecDeque<Instant>>,
}

impl QuestionRate {
    pub(crate) fn per_minute(limit: usize) -> Self {
        Self { limit, asked: Mutex::default() }
    }

    /// Counts a question at `now`; `false` if the limit is reached.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while asked.front().is_some_and(|first| now.saturating_duration_since(*first) >= MINUTE) {
            asked.pop_front();
        }
        let may = asked.len() < self.limit;
        if may {
            asked.push_back(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_minute_has_at_most_the_limit() {
        let rate = QuestionRate::per_minute(2);
        let start = Instant::now();
        let at = |seconds| rate.take(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 30, 31, 59, 60, 61, 89, 90, 91].map(at),
            [true, true, false, false, true, false, false, true, false]
        );
    }
}
