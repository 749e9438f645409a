//! A socket in the private directory.

use std::ffi::OsString;
use std::io;

use local_ipc::QuietStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixListener;

use crate::agent::client::Caller;
use crate::exec::private_dir::PrivateDir;

const NAME: &str = "agent.sock";

pub(super) struct Listener(UnixListener);

impl Listener {
    pub(super) fn bind(directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let path = directory.path().join(NAME);
        Ok((Self(UnixListener::bind(&path)?), path.into_os_string()))
    }

    pub(super) async fn accept(&self) -> io::Result<QuietStream> {
        self.0.accept().await?.0.try_into()
    }
}

impl Caller for QuietStream {
    fn has_hung_up(&self) -> bool {
        let mut watched = [PollFd::new(self, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut watched, Some(&at_once)).is_ok()
            && watched.iter().any(|watched| watched.revents().contains(PollFlags::HUP))
    }
}
