//! Agents behind Unix sockets.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

pub(super) type Stream = local_ipc::QuietStream;

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}

/// Whether there is something at `path`.
pub(super) fn look(path: &Path) -> io::Result<()> {
    std::fs::metadata(path).map(drop)
}

/// There is none that everybody has.
pub(super) fn usual() -> Option<PathBuf> {
    None
}

/// Whether an agent may listen at `path`, which is a file with keys else.
pub(super) fn is_one(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
