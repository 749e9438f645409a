//! What waits for a session's writer besides secrets.

use std::sync::Arc;

use crate::memory::Reserved;
use crate::queue::Queue;

/// The queue from reader and agent to the writer. While anything is in it, the reader reads nothing: a client that does
/// not take its answers cannot ask for more.
pub(crate) type Outbox = Queue<Outgoing>;

/// One message for the client.
pub(crate) enum Outgoing {
    /// An encoded message that all sessions share.
    Shared(Arc<[u8]>),
    /// An encoded message, in memory of the session.
    Answer(Vec<u8>, Reserved),
    /// The answer to a ping, at most 125 bytes.
    Pong(Vec<u8>),
}
