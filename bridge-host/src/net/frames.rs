//! Websocket frames (RFC 6455) of a connection that has been upgraded, in memory that the session has reserved.
//!
//! tungstenite answers the upgrade request and knows the format of a frame's header. Its own websocket is not used: its
//! buffers grow with the largest message of each direction and never shrink, so that one message of 1 MiB would cost 1 MiB
//! for as long as the session lasts.

mod reader;
mod writer;

pub(crate) use reader::{FrameReader, Incoming, Payload, ReadError};
pub(crate) use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
pub(crate) use writer::{FrameWriter, WriteError};
