//! Listening on a named pipe, for processes of this user.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use interprocess::os::windows::named_pipe::tokio::PipeListener;
use interprocess::os::windows::named_pipe::{PipeListenerOptions, pipe_mode::Bytes};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::U16CString;

use super::{access, pipe};
use crate::LocalStream;

/// Holds the usual message of an agent.
const BUFFER: u32 = 4 << 10;

/// A named pipe that this user alone can open, from this machine. One more connection than is accepted waits in it;
/// further ones find it busy, and wait for that.
pub struct LocalListener(PipeListener<Bytes, Bytes>);

impl LocalListener {
    /// Creates the pipe `path`, `\\.\pipe\NAME`.
    ///
    /// # Errors
    /// `InvalidInput` if `path` is not the name of a pipe, `PermissionDenied` if there is a pipe of that name already (its
    /// maker would get our connections), and those of the system.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let name = path.to_str().filter(|_| pipe::is_name(path)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, r"not the name of a pipe (\\.\pipe\NAME)")
        })?;
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

    /// Creates a pipe for the service `name` whose full name no other process can guess: it has 128 random bits. Returns
    /// its path.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind_random(name: &str) -> io::Result<(Self, PathBuf)> {
        // std's hash keys are the system's random bytes.
        let half = || RandomState::new().hash_one(std::process::id());
        let path = pipe::path(&format!("secrets-bridge-{name}-{:016x}{:016x}", half(), half()));
        Ok((Self::bind(&path)?, path))
    }

    /// [`Self::bind_random`]: pipes are in no directory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind_private(_directory: &Path, name: &str) -> io::Result<(Self, PathBuf)> {
        Self::bind_random(name)
    }

    /// Nothing to do: the pipe's access list trusts only this user.
    pub fn trust_only(&mut self, _other: Option<u32>) {}

    /// The next connection. It is never `None`: the pipe's access list keeps other users' processes out.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn accept(&self) -> io::Result<Option<LocalStream>> {
        self.0.accept().await.map(|stream| Some(LocalStream::new(stream)))
    }
}
