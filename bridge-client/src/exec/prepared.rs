//! COMMAND, and everything that lives exactly as long as it does: files, an agent, a session. Then the leak check.

use std::io::{self, IsTerminal as _};

use leaks::{Finder, Mask};
use tracing::warn;

use crate::agent::AgentSession;
use crate::delivery::collect::Collected;
use crate::delivery::files::Files;
use crate::error::ClientError;
use crate::exec::child::{self, CommandLine};
use crate::exec::output::MaskedOutput;
use crate::exec::private_dir::PrivateDir;
use crate::exec::supervisor::Supervisor;
use crate::git::credential_helper;
use crate::leak_check::{Checked, Leaked, Leaks, Watch};

/// Whether secrets in COMMAND's output are masked, where it does not go to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// What is done about secrets that COMMAND shows or writes down.
#[derive(Debug, Clone, Copy)]
pub struct Safeguards {
    /// In its output.
    pub masking: Masking,
    /// In files.
    pub leaks: Leaks,
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
    /// Whether nothing of ours has to live beside COMMAND, so that this process can become it: [`Self::exec_replace`].
    pub fn can_replace_process(&self, safeguards: Safeguards) -> bool {
        let is_masked = safeguards.masking == Masking::On
            && self.collected.secrets.iter().any(|(_, secret)| Mask::covers(secret))
            && !is_for_terminals_only();
        let is_checked = safeguards.leaks != Leaks::Off && self.collected.searched().any(Finder::covers);
        self.agent.is_none() && self.collected.files.is_empty() && !is_masked && !is_checked
    }

    fn mask(&self) -> Option<Mask> {
        let secrets: Vec<_> =
            self.collected.secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        Mask::new(&secrets)
    }

    /// Becomes `command`, where [`Self::can_replace_process`]; see [`child::run`].
    ///
    /// # Errors
    /// The system's.
    pub fn exec_replace(self, command: &CommandLine, removed: &[&str]) -> io::Result<u32> {
        child::run(command, self.collected.variables, removed)
    }

    /// Runs `command` as [`child::run`] does, with files, `SSH_AUTH_SOCK`, and ssh and git knowing the agent's hosts and
    /// keys. What that takes is gone when this returns, the session included. When COMMAND has ended, what it wrote is
    /// searched for secrets.
    ///
    /// # Errors
    /// [`ClientError`] if it cannot be set up; [`ClientError::Leaked`] if COMMAND succeeded and wrote a secret down. The
    /// inner error is the system's, if COMMAND did not start.
    pub async fn run(
        self,
        command: &CommandLine,
        removed: &[&str],
        safeguards: Safeguards,
    ) -> Result<io::Result<u32>, ClientError> {
        // First: a signal must not leave anything behind.
        let mut supervisor = Supervisor::new().map_err(ClientError::Prepare)?;
        let watch = match safeguards.leaks {
            Leaks::Fail | Leaks::Warn => Watch::begin(&self.collected.secrets, &self.collected.unsearched),
            Leaks::Off => None,
        };
        let code = match self.run_beside(&mut supervisor, command, removed, safeguards.masking).await? {
            Ok(code) => code,
            Err(not_started) => return Ok(Err(not_started)),
        };
        let Some(watch) = watch else { return Ok(Ok(code)) };
        match watch.check(supervisor.interrupted()).await {
            Ok(Checked::Interrupted(by_signal)) => Ok(Ok(if code == 0 { by_signal } else { code })),
            Ok(Checked::Found(None)) => Ok(Ok(code)),
            Ok(Checked::Found(Some(leaked))) if code == 0 && safeguards.leaks == Leaks::Fail => {
                Err(leaked.into())
            }
            Ok(Checked::Found(Some(leaked))) => {
                tell(&leaked);
                Ok(Ok(code))
            }
            Err(error) if code == 0 && safeguards.leaks == Leaks::Fail => Err(ClientError::LeakCheck(error)),
            Err(error) => {
                warn!("the leak check failed: {error}");
                Ok(Ok(code))
            }
        }
    }

    /// COMMAND's life. All that is beside it is gone when this returns.
    async fn run_beside(
        self,
        supervisor: &mut Supervisor,
        command: &CommandLine,
        removed: &[&str],
        masking: Masking,
    ) -> Result<io::Result<u32>, ClientError> {
        let mask = match masking {
            Masking::On => self.mask(),
            Masking::Off => None,
        };
        let Collected { mut variables, files, git_servers, secrets, .. } = self.collected;
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
        credential_helper::set_up(&git_servers, &mut variables)?;
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

/// Where the step fails anyway, or is not to.
fn tell(leaked: &Leaked) {
    for leak in &leaked.leaks {
        warn!("COMMAND wrote a secret down: {leak}");
    }
    if leaked.more > 0 {
        warn!("and {} more", leaked.more);
    }
}
