//! COMMAND with an agent: everything that lives exactly as long as it does.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;

use proto::SessionId;
use proto::agent::AgentId;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::error::AgentError;
use super::multiplexer::{Command, Link, Listing};
use super::offer::AgentOffer;
use super::socket::AgentSocket;
use crate::connect::connection::Connection;
use crate::connect::dial::Dialer;
use crate::exec::private_dir::PrivateDir;
use crate::ssh::tools::{self, GitKey, SshSetup};

/// A session that goes on while COMMAND runs, for the sake of its agent.
pub(crate) struct AgentSession<'a> {
    connection: Connection,
    link: Link<'a>,
    commands: mpsc::Sender<Command>,
    listing: Rc<RefCell<Listing>>,
    setup: SshSetup,
}

impl<'a> AgentSession<'a> {
    pub(crate) fn new(
        dialer: &'a Dialer,
        session: SessionId,
        agent: AgentId,
        connection: Connection,
        offer: AgentOffer,
    ) -> Self {
        if offer.listing.identities.is_empty() {
            warn!("the SSH agent {agent} offers no key");
        }
        let listing = Rc::new(RefCell::new(offer.listing));
        let (link, commands) = Link::new(dialer, session, agent, Rc::clone(&listing));
        let known_hosts = offer.known_hosts.iter().map(|line| line.as_str().to_owned()).collect();
        let git_key = |git_key: proto::agent::GitKey| GitKey {
            host: git_key.repository.host().to_owned(),
            port: git_key.repository.port(),
            path: git_key.repository.path().to_owned(),
            key: git_key.key,
        };
        let setup = SshSetup { known_hosts, git_keys: offer.git_keys.into_iter().map(git_key).collect() };
        Self { connection, link, commands, listing, setup }
    }

    /// Puts the agent's socket into `directory`, and ssh and git that know its hosts and keys. Returns the variables
    /// that COMMAND needs.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn offer(
        self,
        directory: &PrivateDir,
    ) -> Result<(Offered<'a>, Vec<(String, OsString)>), AgentError> {
        let (socket, name) = AgentSocket::bind(directory).map_err(AgentError::Socket)?;
        let this_program = std::env::current_exe().map_err(AgentError::Socket)?;
        let mut variables = tools::install(&self.setup, directory, &this_program)?;
        variables.push(("SSH_AUTH_SOCK".to_owned(), name));
        Ok((Offered { session: self, socket }, variables))
    }
}

/// An agent that COMMAND can reach, once it is served.
pub(crate) struct Offered<'a> {
    session: AgentSession<'a>,
    socket: AgentSocket,
}

impl Offered<'_> {
    /// Serves the agent until `command` resolves, and ends the session.
    pub(crate) async fn during(self, command: impl Future<Output = io::Result<u32>>) -> io::Result<u32> {
        let AgentSession { connection, link, commands, listing, .. } = self.session;
        let serving = self.socket.serve(listing, commands);
        let mut carrying = Box::pin(link.run(connection));
        let code = tokio::select! {
            // A request goes from the socket to the link in one round of these.
            biased;
            () = serving => Err(io::ErrorKind::Other.into()), // it has no end
            // Nor has this one, as long as the socket is served.
            _ = &mut carrying => Err(io::ErrorKind::Other.into()),
            code = command => code,
        };
        // With the socket went whoever could ask: the link comes to its end, and gives its connection back.
        debug!("COMMAND has ended");
        if let Some(connection) = carrying.await {
            connection.close().await;
        }
        code
    }
}
