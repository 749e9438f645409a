//! HTTP/1.1 messages (RFC 9112), parsed strictly and written in one form: heads, and the framing of bodies. No I/O.
//!
//! Whatever two programs could read in two ways is an error here: a message that was parsed and is written anew means the
//! same to everyone.

mod answer;
mod body;
mod error;
mod head;
mod headers;
mod length;
mod limits;
mod request;

pub use answer::AnswerHead;
pub use body::{BodyPart, BodyReader, CHUNK_END, LAST_CHUNK, chunk_head};
pub use error::MessageError;
pub use head::Version;
pub use headers::{Header, Headers};
pub use length::BodyLength;
pub use limits::{MAX_HEAD, MAX_HEADERS};
pub use request::{RequestHead, Target};
