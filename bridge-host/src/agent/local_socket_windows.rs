//! No builder on Windows takes a socket of ours yet.

use std::io;
use std::path::Path;

use crate::agent::answering::Asking;

pub(super) struct LocalSocket;

impl LocalSocket {
    pub(super) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no such sockets on this system"))
    }

    pub(super) async fn serve(&self, _asking: Asking<'_>) {}
}
