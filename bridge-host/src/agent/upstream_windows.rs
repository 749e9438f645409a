//! Agents behind named pipes (OpenSSH for Windows, Pageant), and behind the socket files of Git Bash, MSYS2 and Cygwin.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use local_ipc::windows::pipe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::windows::named_pipe::NamedPipeClient;

use crate::agent::socket_file::SocketFile;

/// A connection to an agent.
pub(super) enum Stream {
    Pipe(NamedPipeClient),
    Socket(TcpStream),
}

/// The service of OpenSSH for Windows.
const OPENSSH: &str = "openssh-ssh-agent";
/// What the names of Pageant's pipes begin with; a user name and a hash follow. (Before 0.75 it had none.)
const PAGEANT: &str = "pageant.";

/// Connects. A socket file's agent has to know what is in the file, a pipe's has to be this user's or the system's.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    if pipe::is_name(path) {
        return pipe::open(path).await.map(Stream::Pipe);
    }
    SocketFile::read(path)?.connect().await.map(Stream::Socket)
}

/// Whether there is something that may be an agent.
///
/// # Errors
/// The system's if not.
pub(super) fn look(path: &Path) -> io::Result<()> {
    if pipe::is_name(path) { pipe::look(path) } else { SocketFile::read(path).map(drop) }
}

/// The agent of this user's where SSH_AUTH_SOCK does not name one: the service of OpenSSH, else Pageant.
pub(super) fn usual() -> Option<PathBuf> {
    let openssh = pipe::path(OPENSSH);
    if pipe::look(&openssh).is_ok() {
        return Some(openssh);
    }
    // Others' are turned down when they are opened.
    let names = pipe::names().unwrap_or_default();
    names.iter().find(|name| name.starts_with(PAGEANT)).map(|name| pipe::path(name))
}

/// Whether an agent may listen at `path`, which is a file with keys else.
pub(super) fn is_one(path: &Path) -> bool {
    pipe::is_name(path) || SocketFile::read(path).is_ok()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Self::Socket(socket) => Pin::new(socket).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(context, bytes),
            Self::Socket(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_flush(context),
            Self::Socket(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_shutdown(context),
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}
