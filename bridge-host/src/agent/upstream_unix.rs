//! Agents behind Unix sockets.

use std::io;
use std::path::Path;

pub(super) type Stream = quiet_socket::QuietStream;

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}
