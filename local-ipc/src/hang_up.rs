//! Detects that a peer hung up while its handler is not reading.

use std::time::Duration;

use tokio::time::sleep;

use crate::LocalStream;

/// The systems report a hang-up only to a reader; a handler that does not read has to poll.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

impl LocalStream {
    /// Resolves when the peer has closed both directions, so that it waits for no answer. A peer that only stopped sending
    /// still does.
    pub async fn hung_up(&mut self) {
        while !self.has_hung_up() {
            sleep(POLL_INTERVAL).await;
        }
    }
}
