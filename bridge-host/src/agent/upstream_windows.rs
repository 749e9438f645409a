//! Agents behind named pipes.

use std::io;
use std::path::Path;

pub(super) type Stream = tokio::net::windows::named_pipe::NamedPipeClient;

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    tokio::net::windows::named_pipe::ClientOptions::new().open(path)
}
