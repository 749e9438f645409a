//! Unix sockets of this user's.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Caller, converse};
use crate::agent::answering::Asking;

/// Most connections at once; further ones wait in the listener's queue.
const MAX_AT_ONCE: usize = 64;

/// A socket that accepts connections already. Its file goes with it.
pub(super) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl LocalSocket {
    /// Listens at `path`, for this user alone. What an earlier bridge left there is replaced; a socket that someone
    /// listens at, and anything that is no socket, is not.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is something else than a socket",
                ));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        // Between the two calls the file has the umask's mode; whoever connects then is checked all the same.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { inode: std::fs::symlink_metadata(path)?.ino(), listener, path: path.to_owned() })
    }

    /// Accepts and answers connections until it is dropped, which ends all of them.
    pub(super) async fn serve(&self, asking: Asking<'_>) {
        let mut conversations = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if conversations.len() < MAX_AT_ONCE => match accepted {
                    Ok((stream, _)) if is_trusted(&stream) => conversations.push(converse(asking, stream)),
                    Ok(_) => warn!("a process of another user was turned away at {}", self.path.display()),
                    Err(error) => {
                        // Too many open files, for one.
                        warn!("a connection to {} could not be accepted: {error}", self.path.display());
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = conversations.next() => {
                    if let Err(error) = ended {
                        debug!("a connection to {} ended: {error}", self.path.display());
                    }
                }
            }
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Only if it is still ours.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether it is this user's process, or root's, who could be this user.
fn is_trusted(stream: &UnixStream) -> bool {
    let this_user = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == this_user || peer.uid() == 0)
}

impl Caller for UnixStream {
    fn has_hung_up(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut watched = [PollFd::new(self, PollFlags::empty())];
        poll(&mut watched, Some(&at_once)).is_ok()
            && watched.iter().any(|watched| watched.revents().contains(PollFlags::HUP))
    }
}
