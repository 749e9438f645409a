//! Offers the bridge's SSH agent to COMMAND for as long as COMMAND runs.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;

use proto::agent::AgentId;
use proto::{Hello, SessionId};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::error::AgentError;
use super::multiplexer::{Command, Listing, Multiplexer};
use super::offer::AgentOffer;
use super::socket::AgentSocket;
use crate::connect::connection::BridgeConnection;
use crate::connect::dial::Dialer;
use crate::delivery::access::Access;
use crate::exec::private_dir::PrivateDir;
use crate::nesting::SESSION_VARIABLE;
use crate::ssh::tools::{self, SshSetup, SshToolsError};

/// A session that stays open while COMMAND runs, for its agent.
pub(crate) struct AgentSession<'a> {
    connection: BridgeConnection,
    session: SessionId,
    multiplexer: Multiplexer<'a>,
    commands: mpsc::Sender<Command>,
    listing: Rc<RefCell<Listing>>,
    setup: SshSetup,
    access: Access,
}

impl<'a> AgentSession<'a> {
    /// `connection` is that of the session to which `redial` belongs.
    pub(crate) fn new(
        dialer: &'a Dialer,
        redial: Hello,
        agent: &AgentId,
        connection: BridgeConnection,
        offer: AgentOffer,
        access: Access,
    ) -> Self {
        if offer.listing.identities.is_empty() {
            warn!("the SSH agent {agent} offers no key");
        }
        let listing = Rc::new(RefCell::new(offer.listing));
        let session = redial.session;
        let (multiplexer, commands) = Multiplexer::new(dialer, redial, Rc::clone(&listing));
        let setup = SshSetup { known_hosts: offer.known_hosts, git_keys: offer.git_keys };
        Self { connection, session, multiplexer, commands, listing, setup, access }
    }

    /// Who can use the agent.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Sets up the agent's socket in `directory`, and ssh and git to know its hosts and keys. Returns the environment
    /// variables for COMMAND.
    pub(crate) fn offer(
        self,
        directory: &PrivateDir,
    ) -> Result<(OfferedAgent<'a>, Vec<(String, OsString)>), AgentError> {
        let (socket, path) = AgentSocket::bind(directory, self.access)?;
        let this_program = std::env::current_exe().map_err(AgentError::Socket)?;
        let mut variables = tools::install(&self.setup, directory, &this_program)?;
        if self.access.is_for_others() {
            tools::share(directory).map_err(SshToolsError::Io)?;
        }
        variables.push(("SSH_AUTH_SOCK".to_owned(), path));
        variables.push((SESSION_VARIABLE.to_owned(), self.session.to_string().into()));
        Ok((OfferedAgent { session: self, socket }, variables))
    }
}

/// An agent whose socket exists and accepts connections.
pub(crate) struct OfferedAgent<'a> {
    session: AgentSession<'a>,
    socket: AgentSocket,
}

impl OfferedAgent<'_> {
    /// Serves the agent until `command` resolves, then ends the session.
    pub(crate) async fn serve_during(
        self,
        command: impl Future<Output = io::Result<u32>>,
    ) -> io::Result<u32> {
        let AgentSession { connection, multiplexer, commands, listing, .. } = self.session;
        let serving = self.socket.serve(listing, commands);
        let mut multiplexing = Box::pin(multiplexer.run(connection));
        let code = tokio::select! {
            // In this order, so that a request goes from the socket to the multiplexer within one poll of both.
            biased;
            never = serving => match never {},
            // It ends only with the queue, whose senders are in `serving`.
            _ = &mut multiplexing => Err(io::ErrorKind::Other.into()),
            code = command => code,
        };
        // `serving` is dropped, and with it every sender: the multiplexer ends, and returns its connection.
        debug!("COMMAND has ended");
        if let Some(connection) = multiplexing.await {
            connection.close().await;
        }
        code
    }
}
