//! COMMAND, and everything that lives exactly as long as it does: files, an agent, a session.

use std::io;

use crate::agent::AgentSession;
use crate::child::{self, CommandLine, Supervisor};
use crate::delivery::collect::Collected;
use crate::delivery::files::Files;
use crate::error::ClientError;
use crate::private_dir::PrivateDir;

/// What COMMAND is to have, fetched.
pub struct Prepared<'a> {
    pub(crate) collected: Collected,
    pub(crate) agent: Option<AgentSession<'a>>,
}

impl Prepared<'_> {
    /// Whether nothing of ours has to live beside COMMAND, so that this process can become it: [`Self::become_it`].
    pub fn is_bare(&self) -> bool {
        self.agent.is_none() && self.collected.files.is_empty()
    }

    /// Becomes `command`, where [`Self::is_bare`]; see [`child::run`].
    ///
    /// # Errors
    /// The system's.
    pub fn become_it(self, command: &CommandLine, removed: &[&str]) -> io::Result<u32> {
        child::run(command, self.collected.variables, removed)
    }

    /// Runs `command` as [`child::run`] does, with files, `SSH_AUTH_SOCK`, and ssh and git knowing the agent's hosts and
    /// keys. What that takes is gone when this returns, the session included.
    ///
    /// # Errors
    /// [`ClientError`] if it cannot be set up. The inner error is the system's, if COMMAND did not start.
    pub async fn run(self, command: &CommandLine, removed: &[&str]) -> Result<io::Result<u32>, ClientError> {
        // First: a signal must not leave anything behind.
        let mut supervisor = Supervisor::new().map_err(ClientError::Prepare)?;
        let directory = PrivateDir::create().map_err(ClientError::Prepare)?;
        let Collected { mut variables, files, secrets: _ } = self.collected;
        let (placed, paths) = Files::place(&directory, files)?;
        variables.extend(paths);
        let code = match self.agent {
            None => supervisor.run(command, variables, removed).await,
            Some(agent) => {
                let (serving, more) = agent.offer(&directory)?;
                variables.extend(more);
                serving.during(supervisor.run(command, variables, removed)).await
            }
        };
        drop(placed);
        Ok(code)
    }
}
