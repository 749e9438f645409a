//! How long a handshake keeps its place while others wait for one.
//!
//! Where a thousand clients share the processors, each may take a second for its answer, but nearly all answer in the end, and
//! none of them must be ended. Where nearly none answers, most are no clients: then a place is kept only for as long as those
//! that did answer needed, so that a client among them waits for little.

use std::time::Duration;

use tokio::time::Instant;

/// If no client at all has proven itself for so long, handshakes that are as old yield.
pub(super) const YIELDS_AFTER: Duration = Duration::from_secs(1);
/// The shortest time that a handshake keeps its place: several round trips in a local network, and what a busy machine
/// needs to let the client run.
const SHORTEST: Duration = Duration::from_millis(50);

/// `share` if all handshakes succeed.
const ALL: u32 = 1 << 16;
/// Below this share of handshakes that succeed, most peers are no clients.
const FEW: u32 = ALL / 4;
/// Of how many handshakes the share is, about: it falls below [`FEW`] after 90 failures.
const WEIGHT: u32 = 64;

/// What the handshakes so far say about the next ones.
pub(super) struct Patience {
    /// The share of the last handshakes that succeeded, of [`ALL`].
    share: u32,
    /// How long the slowest of the last clients took to prove itself; older ones count for less.
    slowest: Option<Duration>,
    /// When a client last proved itself.
    proven: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { share: ALL, slowest: None, proven: None }
    }
}

impl Patience {
    /// A client has proven itself, `took` after its handshake began.
    pub(super) fn proven(&mut self, now: Instant, took: Duration) {
        self.share += (ALL - self.share) / WEIGHT;
        let before = self.slowest.unwrap_or_default();
        self.slowest = Some(took.max(before * 7 / 8));
        self.proven = Some(now);
    }

    /// A handshake that lasted for `lasted` has ended without success.
    pub(super) fn failed(&mut self, lasted: Duration) {
        // A client that leaves early, as one does that has reached the bridge at another endpoint, took no time from others.
        if lasted >= self.while_few_succeed().unwrap_or(YIELDS_AFTER) {
            self.share -= self.share / WEIGHT;
        }
    }

    /// How old a handshake must be to yield; `None` if none yields.
    pub(super) fn limit(&self, now: Instant) -> Option<Duration> {
        let is_moving = self.proven.is_some_and(|proven| now.duration_since(proven) < YIELDS_AFTER);
        self.while_few_succeed().or((!is_moving).then_some(YIELDS_AFTER))
    }

    fn while_few_succeed(&self) -> Option<Duration> {
        let slowest = self.slowest.filter(|_| self.share < FEW)?;
        Some((slowest * 2).clamp(SHORTEST, YIELDS_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(40);

    #[test]
    fn while_clients_prove_themselves_none_yields() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        assert_eq!(patience.limit(now), Some(YIELDS_AFTER));
        patience.proven(now, QUICK);
        assert_eq!(patience.limit(now + Duration::from_millis(999)), None);
        assert_eq!(patience.limit(now + YIELDS_AFTER), Some(YIELDS_AFTER));
        // A few do not matter, nor do any that leave early.
        (0..1000).for_each(|_| patience.failed(QUICK));
        (0..50).for_each(|_| patience.failed(YIELDS_AFTER));
        assert_eq!(patience.limit(now), None);
    }

    #[test]
    fn where_few_succeed_a_place_is_kept_for_twice_as_long_as_clients_need() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        patience.proven(now, QUICK);
        (0..100).for_each(|_| patience.failed(YIELDS_AFTER));
        assert_eq!(patience.limit(now), Some(2 * QUICK));
        // Those that yield now count as well.
        (0..1000).for_each(|_| patience.failed(2 * QUICK));
        patience.proven(now, Duration::from_millis(300));
        assert_eq!(patience.limit(now), Some(Duration::from_millis(600)));
        (0..5).for_each(|_| patience.proven(now, Duration::ZERO));
        assert!(patience.limit(now).unwrap() < Duration::from_millis(400));
        // And then most are clients again.
        (0..20).for_each(|_| patience.proven(now, QUICK));
        assert_eq!(patience.limit(now), None);
    }

    #[test]
    fn a_place_is_kept_for_50_ms_at_least() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        patience.proven(now, Duration::ZERO);
        (0..100).for_each(|_| patience.failed(YIELDS_AFTER));
        assert_eq!(patience.limit(now), Some(SHORTEST));
    }

    #[test]
    fn without_any_client_a_place_is_kept_for_1_s() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        (0..1000).for_each(|_| patience.failed(YIELDS_AFTER));
        assert_eq!(patience.limit(now), Some(YIELDS_AFTER));
    }
}
