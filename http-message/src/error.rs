//! What is wrong with a message.

use thiserror::Error;

use crate::limits::{MAX_HEAD, MAX_HEADERS, MAX_LINE_OF_CHUNK};

/// Why a message is not understood. The texts hold nothing of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error("the head is larger than {MAX_HEAD} bytes")]
    HeadTooLarge,
    #[error("the head has more than {MAX_HEADERS} header fields")]
    TooManyHeaders,
    #[error(
        "a line feed without a carriage return before it, or a carriage return without a line feed after it"
    )]
    LineEnd,
    #[error("the message begins with an empty line")]
    EmptyLine,
    #[error("invalid request line: not METHOD TARGET VERSION with single spaces between them")]
    RequestLine,
    #[error("invalid status line: not VERSION STATUS REASON with a status from 100 to 599")]
    StatusLine,
    #[error("invalid method")]
    Method,
    #[error("invalid request target")]
    Target,
    /// HTTP/0.9 has no version in its request line; what is newer than 1.1 begins otherwise.
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("HTTP/2 without negotiation: only HTTP/1.1 is spoken here")]
    Http2,
    /// Also white space before the colon, and a line without a colon.
    #[error("invalid name of a header field")]
    HeaderName,
    #[error("invalid value of a header field: it has a control character")]
    HeaderValue,
    #[error("a header field is continued on a second line")]
    FoldedHeader,
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    /// `chunked` alone is understood.
    #[error("Transfer-Encoding is not `chunked`")]
    TransferEncoding,
    #[error("Transfer-Encoding stands beside Content-Length, or in an HTTP/1.0 message")]
    AmbiguousLength,
    #[error("invalid chunk size")]
    ChunkSize,
    #[error("the line of a chunk, or the trailer section, is longer than {MAX_LINE_OF_CHUNK} bytes")]
    ChunkLine,
    #[error("a chunk is not followed by a line end, or a line in the chunked body is invalid")]
    ChunkEnd,
}

impl MessageError {
    /// The status of an answer to a request with this error.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Version => 505,
            Self::Http2 => 501,
            Self::LineEnd
            | Self::EmptyLine
            | Self::RequestLine
            | Self::StatusLine
            | Self::Method
            | Self::Target
            | Self::HeaderName
            | Self::HeaderValue
            | Self::FoldedHeader
            | Self::ContentLength
            // Not 501, as for an unknown coding (RFC 9112, 6.1): no tool sends one, and attempts to smuggle do.
            | Self::TransferEncoding
            | Self::AmbiguousLength
            | Self::ChunkSize
            | Self::ChunkLine
            | Self::ChunkEnd => 400,
        }
    }
}
