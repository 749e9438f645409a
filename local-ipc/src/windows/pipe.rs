//! Named pipes: made for this user alone, and opened where nobody else can have made them.

use std::fs::OpenOptions;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interprocess::os::windows::named_pipe::tokio::PipeListener;
use interprocess::os::windows::named_pipe::{PipeListenerOptions, pipe_mode::Bytes};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use tokio::time::sleep;
use widestring::U16CString;

use super::access;
pub use super::connection::Connection;

/// Where named pipes are.
pub const PREFIX: &str = r"\\.\pipe\";
/// All instances of a pipe are taken (`ERROR_PIPE_BUSY`).
const BUSY: i32 = 231;
/// How often it is tried then: the server makes a new instance as soon as it has accepted.
const AGAIN: Duration = Duration::from_millis(20);
/// Holds the usual message of an agent.
const BUFFER: u32 = 4 << 10;
/// `SECURITY_IDENTIFICATION`: whoever made the pipe may learn who opened it, and cannot act in its name.
pub const IDENTIFICATION: u32 = 0x0001_0000;

/// A named pipe that this user alone can open, from this machine.
pub struct PrivatePipe(PipeListener<Bytes, Bytes>);

/// A name for a pipe that nobody can guess: 128 random bits.
pub fn random_name(what: &str) -> String {
    // std's hash keys are the system's random bytes.
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{PREFIX}{what}-{:016x}{:016x}", half(), half())
}

impl PrivatePipe {
    /// Makes the pipe `name`. Fails if there is one of that name already: its maker would get our connections.
    ///
    /// # Errors
    /// The system's.
    pub fn create(name: &str) -> io::Result<Self> {
        let wide = |text: &str| U16CString::from_str(text).map_err(io::Error::other);
        let descriptor = SecurityDescriptor::deserialize(&wide(&access::this_user_alone()?)?)?;
        let options = PipeListenerOptions::new()
            .path(wide(name)?)
            .accept_remote(false)
            .input_buffer_size_hint(BUFFER)
            .output_buffer_size_hint(BUFFER)
            .security_descriptor(Some(descriptor));
        // interprocess passes FILE_FLAG_FIRST_PIPE_INSTANCE for the first instance.
        options.create_tokio_duplex::<Bytes>().map(Self)
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&self) -> io::Result<Connection> {
        self.0.accept().await.map(Connection::new)
    }
}

/// Opens the pipe at `path`, waiting while it is busy; the caller ends the wait.
///
/// # Errors
/// `PermissionDenied` if another user made it: while a service is stopped, anybody can take its pipe's name. Else the
/// system's.
pub async fn open(path: &Path) -> io::Result<NamedPipeClient> {
    let pipe = loop {
        match ClientOptions::new().security_qos_flags(IDENTIFICATION).open(path) {
            Err(error) if error.raw_os_error() == Some(BUSY) => sleep(AGAIN).await,
            opened => break opened?,
        }
    };
    if access::is_of_trusted_owner(&pipe)? {
        return Ok(pipe);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's pipe"))
}

/// Whether there is a pipe at `path`. It sees a connection that closes at once.
///
/// # Errors
/// The system's if not.
pub fn look(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    match options.read(true).write(true).security_qos_flags(IDENTIFICATION).open(path) {
        Err(error) if error.raw_os_error() == Some(BUSY) => Ok(()),
        opened => opened.map(drop),
    }
}

/// Whether `path` names a pipe, of this machine.
pub fn is_name(path: &Path) -> bool {
    let path = path.as_os_str().to_string_lossy().replace('/', r"\");
    path.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The path of the pipe `name`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{PREFIX}{name}"))
}

/// The names of all pipes.
///
/// # Errors
/// The system's.
pub fn names() -> io::Result<Vec<String>> {
    let pipes = std::fs::read_dir(PREFIX)?;
    Ok(pipes.filter_map(|pipe| pipe.ok()?.file_name().into_string().ok()).collect())
}
