//! How fast requests are permitted. Each one is two records in the audit, which are never summed: a client that asks as fast
//! as it can must not fill the host's disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Time between two requests that come without end: 2,000 a second. Two records are some 600 bytes.
const INTERVAL: Duration = Duration::from_micros(500);
/// How far requests may be ahead of that: 400 at once.
const BURST: Duration = Duration::from_millis(200);

/// Gives out turns, one each [`INTERVAL`]; the only one of a bridge.
pub(super) struct Pace {
    /// When the next turn would be, without bursts.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { next: Mutex::new(None) }
    }

    /// Resolves when it is the caller's turn.
    pub(super) async fn turn(&self) {
        let begins = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + INTERVAL);
            turn.checked_sub(BURST).filter(|begins| *begins > now)
        };
        if let Some(begins) = begins {
            sleep_until(begins).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_two_thousand_a_second_wait() {
        let pace = Pace::new();
        let start = Instant::now();
        for _ in 0..401 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20_000 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis().div_ceil(100), 100, "{:?}", start.elapsed());
        // However long nothing was asked, no more than the burst is saved.
        tokio::time::advance(Duration::from_secs(3600)).await;
        let start = Instant::now();
        for _ in 0..2401 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis().div_ceil(100), 10, "{:?}", start.elapsed());
    }
}
