//! Listening on a Unix socket, for processes of this user.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::LocalStream;

/// A socket that accepts connections already.
pub struct LocalListener {
    listener: UnixListener,
    /// The socket's file where other users may reach it. It goes with the listener.
    _file: Option<SocketFile>,
    peers: Peers,
}

/// Whose processes may connect.
enum Peers {
    /// Those that the modes of the file and of its directory let in.
    Any,
    /// Those of this user and root, and of one other user.
    Users(Option<u32>),
}

impl LocalListener {
    /// Listens at `path`, for this user alone. A socket without a listener, which an earlier process left there, is
    /// replaced.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there, `AlreadyExists` if `path` is not a socket, and those of the system.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "the file exists and is not a socket",
                ));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        // Between the two calls the file has the umask's mode; peers that connect in between are checked all the same.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
        Ok(Self { listener, _file: Some(file), peers: Peers::Users(None) })
    }

    /// Listens at a new socket for the service `name` in `directory`, which no other user can enter. The file stays.
    /// Returns its path.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind_private(directory: &Path, name: &str) -> io::Result<(Self, PathBuf)> {
        let path = directory.join(format!("{name}.sock"));
        Ok((Self { listener: UnixListener::bind(&path)?, _file: None, peers: Peers::Any }, path))
    }

    /// Accepts connections of this user and root, and of the user `other`, whatever the modes of files are.
    pub fn trust_only(&mut self, other: Option<u32>) {
        self.peers = Peers::Users(other);
    }

    /// The next connection; `None` if it came from a process of another user.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn accept(&self) -> io::Result<Option<LocalStream>> {
        let (stream, _) = self.listener.accept().await?;
        match self.peers {
            Peers::Users(other) if !is_trusted(&stream, other) => return Ok(None),
            Peers::Users(_) | Peers::Any => {}
        }
        stream.try_into().map(Some)
    }
}

/// Whether the peer is a process of this user, of root, who can become this user, or of `other`.
fn is_trusted(stream: &UnixStream, other: Option<u32>) -> bool {
    let this_user = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| [Some(this_user), Some(0), other].contains(&Some(peer.uid())))
}

/// Removes the socket's file when dropped, unless another file took its place.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
