//! Names of pipes, and opening them where no other user can have made them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use tokio::time::sleep;

use super::access;

/// Where named pipes are.
const PREFIX: &str = r"\\.\pipe\";
/// All instances of a pipe are taken (`ERROR_PIPE_BUSY`).
const BUSY: i32 = 231;
/// Wait before another attempt to open a busy pipe. The server makes a new instance as soon as it has accepted.
const RETRY: Duration = Duration::from_millis(20);
/// `SECURITY_IDENTIFICATION`: the maker of the pipe may learn who opened it, and cannot act in that user's name.
const IDENTIFICATION: u32 = 0x0001_0000;

/// Opens the pipe at `path`, waiting while it is busy; the caller limits the time.
///
/// # Errors
/// `PermissionDenied` if another user made it: while a service is stopped, any process can take its pipe's name. Else those
/// of the system.
pub(super) async fn open(path: &Path) -> io::Result<NamedPipeClient> {
    let pipe = loop {
        match ClientOptions::new().security_qos_flags(IDENTIFICATION).open(path) {
            Err(error) if error.raw_os_error() == Some(BUSY) => sleep(RETRY).await,
            opened => break opened?,
        }
    };
    if access::is_of_trusted_owner(&pipe)? { Ok(pipe) } else { Err(untrusted_owner()) }
}

/// Opens the pipe at `path` for blocking reads and writes. It does not wait while the pipe is busy.
///
/// # Errors
/// `PermissionDenied` if another user made it. Else those of the system.
pub fn open_blocking(path: &Path) -> io::Result<File> {
    let pipe = open_file(path)?;
    if access::is_of_trusted_owner(&pipe)? { Ok(pipe) } else { Err(untrusted_owner()) }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).security_qos_flags(IDENTIFICATION).open(path)
}

fn untrusted_owner() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the pipe belongs to another user")
}

/// Checks that there is a pipe at `path`. Its server sees a connection that closes at once.
///
/// # Errors
/// Those of the system.
pub fn probe(path: &Path) -> io::Result<()> {
    match open_file(path) {
        Err(error) if error.raw_os_error() == Some(BUSY) => Ok(()),
        opened => opened.map(drop),
    }
}

/// Whether `path` names a pipe of this machine.
pub fn is_name(path: &Path) -> bool {
    let path = path.as_os_str().to_string_lossy().replace('/', r"\");
    path.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The path of the pipe `name`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{PREFIX}{name}"))
}

/// The names of all pipes of this machine.
///
/// # Errors
/// Those of the system.
pub fn names() -> io::Result<Vec<String>> {
    let pipes = std::fs::read_dir(PREFIX)?;
    Ok(pipes.filter_map(|pipe| pipe.ok()?.file_name().into_string().ok()).collect())
}
