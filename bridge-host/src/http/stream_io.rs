//! What the gateway reads from a stream and writes to it, whatever carries it: a connection of a client, or a test.

use proto::http::Origin;

/// What a client sends on a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamInput {
    /// What follows comes from a new connection of a tool, to this origin.
    Connect(Origin),
    /// Bytes of requests, at least one.
    Bytes(Vec<u8>),
}

/// How a stream ended. Unless it is [`Self::Finished`], the tool's connection is reset: its answer may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The client closed the stream with a close frame: the tool has closed its connection.
    Closed,
    /// The connection to the client broke.
    Broken,
    /// The client sent something that the protocol does not allow.
    ProtocolError,
    /// An answer was complete, and `finished` was sent after it.
    Finished,
    /// The gateway cannot complete an answer of which the tool has a part, or the tool's request never ended.
    Cut,
}

/// The client's half of a stream.
pub(crate) trait RequestStream: Send {
    /// The next message. Must be safe to drop before it is ready: nothing is lost then.
    ///
    /// # Errors
    /// How the stream ended.
    fn next(&mut self) -> impl Future<Output = Result<StreamInput, StreamEnd>> + Send;
}

/// The bridge's half of a stream. Each message is on its way when its future is ready: it is not kept until more follows,
/// and a client that does not read makes the gateway wait.
pub(crate) trait AnswerStream: Send {
    /// Sends bytes of an answer: 1 to [`STREAM_CHUNK`](proto::limits::STREAM_CHUNK).
    fn bytes(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Says that nothing is left of the `received` bytes that came on this stream.
    fn idle(&mut self, received: u64) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Says that the tool's connection ends with this answer. The last message of a stream.
    fn finished(&mut self) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Says to people on the build's side why a request was refused.
    fn refusal(&mut self, text: &str) -> impl Future<Output = Result<(), StreamEnd>> + Send;

    /// Names a URL in the answer that may give access by itself: 1 to
    /// [`MAX_SIGNED_URL`](proto::limits::MAX_SIGNED_URL) bytes.
    fn signed_url(&mut self, url: &[u8]) -> impl Future<Output = Result<(), StreamEnd>> + Send;
}
