//! What is wrong with a server that was reached, in words for the build, the host's terminal and the audit.

use http_message::MessageError;
use thiserror::Error;

/// Why there is no complete answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum ServerFault {
    #[error("it closed the connection without an answer")]
    NoAnswer,
    #[error("it did not answer within {0} s")]
    Silent(u64),
    #[error("it sent the head of its answer too slowly")]
    SlowHead,
    #[error("it sent more than {0} interim answers")]
    Interim(u32),
    #[error("its answer is not valid HTTP/1.1: {0}")]
    Malformed(#[from] MessageError),
    #[error("it closed the connection before the end of its answer")]
    Cut,
    #[error("it sent nothing more of its answer for {0} s")]
    Stalled(u64),
    /// An answer that has to be parsed, and is compressed although that was not asked for.
    #[error("it compressed an answer although it was asked not to")]
    Encoded,
}

impl ServerFault {
    /// The audit's word. It is stable.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::Silent(_) | Self::SlowHead | Self::Stalled(_) => "timed-out",
            Self::Interim(_) | Self::Malformed(_) | Self::Encoded => "malformed-answer",
            Self::Cut => "server-closed",
        }
    }
}
