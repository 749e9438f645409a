//! Not built yet: COMMAND would need a named pipe.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::link::{Command, Listing};

pub(crate) struct AgentSocket;

impl AgentSocket {
    pub(crate) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "not built yet on this system (--no-ssh-agent goes without)",
        ))
    }

    pub(crate) async fn serve(self, _listing: Rc<RefCell<Listing>>, _link: mpsc::Sender<Command>) {}
}
