//! COMMAND, and everything that lives exactly as long as it does: files, an agent, a session.

use std::io::{self, IsTerminal as _};

use leaks::Mask;

use crate::agent::AgentSession;
use crate::child::{self, CommandLine, Supervisor};
use crate::delivery::collect::Collected;
use crate::delivery::files::Files;
use crate::error::ClientError;
use crate::git_helper;
use crate::output::MaskedOutput;
use crate::private_dir::PrivateDir;

/// Whether secrets in COMMAND's output are masked, where it does not go to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// They are.
    On,
    /// They are not.
    Off,
}

fn is_for_terminals_only() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// What COMMAND is to have, fetched.
pub struct Prepared<'a> {
    pub(crate) collected: Collected,
    pub(crate) agent: Option<AgentSession<'a>>,
}

impl Prepared<'_> {
    /// Whether nothing of ours has to live beside COMMAND, so that this process can become it: [`Self::become_it`].
    pub fn is_bare(&self, masking: Masking) -> bool {
        let is_masked = masking == Masking::On && self.mask().is_some() && !is_for_terminals_only();
        self.agent.is_none() && self.collected.files.is_empty() && !is_masked
    }

    fn mask(&self) -> Option<Mask> {
        let secrets: Vec<_> =
            self.collected.secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        Mask::new(&secrets)
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
    pub async fn run(
        self,
        command: &CommandLine,
        removed: &[&str],
        masking: Masking,
    ) -> Result<io::Result<u32>, ClientError> {
        // First: a signal must not leave anything behind.
        let mut supervisor = Supervisor::new().map_err(ClientError::Prepare)?;
        let mask = match masking {
            Masking::On => self.mask(),
            Masking::Off => None,
        };
        let Collected { mut variables, files, git_servers, secrets } = self.collected;
        drop(secrets);
        let directory = match (files.as_slice(), &self.agent) {
            ([], None) => None,
            (_, _) => Some(PrivateDir::create().map_err(ClientError::Prepare)?),
        };
        let mut placed = None;
        let mut serving = None;
        if let Some(directory) = &directory {
            let (files, paths) = Files::place(directory, files)?;
            placed = Some(files);
            variables.extend(paths);
            if let Some(agent) = self.agent {
                let (offered, more) = agent.offer(directory)?;
                serving = Some(offered);
                variables.extend(more);
            }
        }
        git_helper::set_up(&git_servers, &mut variables)?;
        let mut child = command.prepare(variables, removed);
        let output = match mask {
            None => None,
            Some(mask) => MaskedOutput::attach(&mut child, mask).map_err(ClientError::Prepare)?,
        };
        let running = supervisor.run_prepared(child);
        let code = match serving {
            None => running.await,
            Some(serving) => serving.during(running).await,
        };
        if let Some(output) = output {
            output.finish();
        }
        drop(placed);
        Ok(code)
    }
}
