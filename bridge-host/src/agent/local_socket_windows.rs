//! Named pipes of this user's.

use std::io;
use std::path::Path;

use local_ipc::windows::pipe::{self, Connection, PrivatePipe};

use super::Caller;

/// A pipe that accepts connections already. It goes with this. Who finds it busy waits for that.
pub(super) struct Listener(PrivatePipe);

impl Listener {
    /// Makes the pipe `path`, `\\.\pipe\NAME`, for this user alone. One that is there is not replaced.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let name = path.to_str().filter(|_| pipe::is_name(path));
        let name = name.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, r"on this system it is a named pipe, \\.\pipe\NAME")
        })?;
        PrivatePipe::create(name).map(Self)
    }

    /// The next connection. The system lets no other user's process in.
    pub(super) async fn accept(&self) -> io::Result<Option<Connection>> {
        self.0.accept().await.map(Some)
    }
}

impl Caller for Connection {
    fn has_hung_up(&self) -> bool {
        self.is_closed()
    }
}
