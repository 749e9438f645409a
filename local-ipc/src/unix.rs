//! Unix sockets.

mod listener;
pub mod signals;
mod stream;

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

pub use listener::LocalListener;
pub use stream::LocalStream;

/// Whether [`LocalStream::connect`] may find a listener at `path`: whether it is a socket.
pub fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Checks that there is something at `path`, without a connection.
///
/// # Errors
/// Those of the system.
pub fn probe(path: &Path) -> io::Result<()> {
    std::fs::metadata(path).map(drop)
}
