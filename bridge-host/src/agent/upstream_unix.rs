//! Agents behind Unix sockets.

use std::io;
use std::path::Path;

pub(super) type Stream = tokio::net::UnixStream;

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}
