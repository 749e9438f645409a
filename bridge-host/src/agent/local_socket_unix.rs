//! Unix sockets of this user's.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::agent::MAX_MESSAGE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::agent::answering::{AgentConnection, Asking};

/// How often a process that waits is looked at.
const WATCH: Duration = Duration::from_millis(250);
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

/// Resolves when `stream` is closed in both directions: nobody waits for an answer then. The system tells of that only
/// whoever reads, or looks.
async fn hung_up(stream: &UnixStream) {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let mut watched = [PollFd::new(stream, PollFlags::empty())];
        let is_known = poll(&mut watched, Some(&at_once)).is_ok();
        if is_known && watched.iter().any(|watched| watched.revents().contains(PollFlags::HUP)) {
            return;
        }
        sleep(WATCH).await;
    }
}

async fn converse(asking: Asking<'_>, mut stream: UnixStream) -> io::Result<()> {
    let mut connection = AgentConnection::new(asking);
    let mut message = Vec::new();
    loop {
        let mut head = [0; 4];
        match stream.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let length = u32::from_be_bytes(head) as usize;
        if length == 0 || length > MAX_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        message.clear();
        (&mut stream).take(length as u64).read_to_end(&mut message).await?;
        if message.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answered = tokio::select! {
            biased;
            answered = connection.answer(&message) => answered,
            // A person who is asked about this need not be any more.
            () = hung_up(&stream) => return Ok(()),
        };
        let length = u32::try_from(answered.bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), &answered.bytes[..]].concat()).await?;
    }
}
