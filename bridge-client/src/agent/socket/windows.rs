//! A named pipe: OpenSSH for Windows, and what is built like it, opens what `SSH_AUTH_SOCK` names.

use std::ffi::OsString;
use std::io;

use local_ipc::windows::pipe::{Connection, PrivatePipe, random_name};

use crate::agent::client::Caller;
use crate::exec::private_dir::PrivateDir;

/// One more connection than is taken waits in it; further ones find it busy, and wait for that.
pub(super) struct Listener(PrivatePipe);

impl Listener {
    pub(super) fn bind(_directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let name = random_name("secrets-bridge-agent");
        Ok((Self(PrivatePipe::create(&name)?), name.into()))
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        self.0.accept().await
    }
}

impl Caller for Connection {
    fn has_hung_up(&self) -> bool {
        self.is_closed()
    }
}
