//! Unix sockets of this user's.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{UnixListener, UnixStream};

use super::Caller;

/// A socket that accepts connections already. Its file goes with it.
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Listener {
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

    /// The next connection; `None` if it is of another user's process.
    pub(super) async fn accept(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        Ok(is_trusted(&stream).then_some(stream))
    }
}

impl Drop for Listener {
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
