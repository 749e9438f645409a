//! Launches COMMAND together with everything that lives as long as COMMAND: files, an agent, masked output. Then runs the leak
//! check.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::time::Duration;

use leaks::{Finder, Mask};
use tokio::time::timeout;
use tracing::warn;

use crate::agent::AgentSession;
use crate::delivery::access::{self, Access};
use crate::delivery::collect::Collected;
use crate::delivery::files::Files;
use crate::exec::child::{self, CommandLine};
use crate::exec::environment;
use crate::exec::error::LaunchError;
use crate::exec::output::MaskedOutput;
use crate::exec::private_dir::PrivateDir;
use crate::exec::supervisor::Supervisor;
use crate::git::credential_helper;
use crate::http::HttpSession;
use crate::leak_check::{Checked, Leaked, Leaks, Watch};

/// How long output may still take after a signal has asked this process to end. Longer than it waits for the processes that
/// COMMAND leaves behind.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Whether secrets in COMMAND's output are masked. Output to a terminal never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    On,
    Off,
}

/// What is done about secrets that COMMAND prints or writes to files.
#[derive(Debug, Clone, Copy)]
pub struct Safeguards {
    pub masking: Masking,
    pub leaks: Leaks,
}

fn is_all_output_to_terminals() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Everything that COMMAND gets, fetched and ready.
pub struct Prepared<'a> {
    pub(crate) collected: Collected,
    pub(crate) agent: Option<AgentSession<'a>>,
    pub(crate) http: Option<HttpSession<'a>>,
}

/// The outcome of [`Prepared::launch`].
pub enum Launch {
    /// Nothing has to happen after COMMAND, so that this process can become COMMAND.
    Replace(Replacement),
    /// COMMAND ran beside this process, and ended with this exit code.
    Exited(u32),
}

/// COMMAND's variables, for a process that becomes COMMAND.
pub struct Replacement(Vec<(String, OsString)>);

impl Replacement {
    /// Becomes `command`, see [`child::exec_replace`].
    ///
    /// # Errors
    /// The system's: `NotFound` if there is no such program.
    pub fn exec(self, command: &CommandLine, removed: &[&str]) -> io::Result<u32> {
        child::exec_replace(command, self.0, removed)
    }
}

impl Prepared<'_> {
    /// Runs `command` with files, `SSH_AUTH_SOCK`, an ssh and git that know the agent's hosts and keys, and the proxy for HTTP
    /// requests, and searches what it wrote for secrets. All that was set up is removed when this returns, and the session has ended. Where none
    /// of this is needed, nothing is started: see [`Launch::Replace`].
    ///
    /// # Errors
    /// [`LaunchError`] if something cannot be set up, if COMMAND cannot be started, or if COMMAND succeeded and wrote a
    /// secret to a file.
    pub async fn launch(
        self,
        command: &CommandLine,
        removed: &[&str],
        safeguards: Safeguards,
    ) -> Result<Launch, LaunchError> {
        self.warn_of_gaps(safeguards);
        if let Some(how) = environment::dropped_by(command)
            && self.delivers_variables()
        {
            warn!("COMMAND will not get its variables: {how}");
        }
        if self.can_replace_process(safeguards) {
            return Ok(Launch::Replace(Replacement(self.collected.variables)));
        }
        self.run(command, removed, safeguards).await.map(Launch::Exited)
    }

    /// Warns of each secret that cannot be masked or searched for as wanted.
    fn warn_of_gaps(&self, safeguards: Safeguards) {
        let is_masked = safeguards.masking == Masking::On && !is_all_output_to_terminals();
        for (key, secret) in &self.collected.secrets {
            let is_searched = safeguards.leaks != Leaks::Off && !self.collected.unsearched.contains(key);
            if let Some(gap) = leaks::gap(secret, is_masked, is_searched) {
                warn!("secret {key} {gap}");
            }
        }
    }

    fn can_replace_process(&self, safeguards: Safeguards) -> bool {
        let is_masked = safeguards.masking == Masking::On
            && self.collected.secrets.iter().any(|(_, secret)| Mask::covers(secret))
            && !is_all_output_to_terminals();
        let is_checked = safeguards.leaks != Leaks::Off && self.collected.searched().any(Finder::covers);
        self.agent.is_none()
            && self.http.is_none()
            && self.collected.files.is_empty()
            && !is_masked
            && !is_checked
    }

    fn delivers_variables(&self) -> bool {
        let Collected { variables, files, git_servers, .. } = &self.collected;
        let names_path = files.iter().any(|(_, target, _)| target.variable.is_some());
        !variables.is_empty()
            || !git_servers.is_empty()
            || names_path
            || self.agent.is_some()
            || self.http.is_some()
    }

    fn mask(&self) -> Option<Mask> {
        let secrets: Vec<_> =
            self.collected.secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        Mask::new(&secrets)
    }

    async fn run(
        self,
        command: &CommandLine,
        removed: &[&str],
        safeguards: Safeguards,
    ) -> Result<u32, LaunchError> {
        // Before anything is set up: a signal must not leave it behind.
        let mut supervisor = Supervisor::new().map_err(LaunchError::Prepare)?;
        let watch = match safeguards.leaks {
            Leaks::Fail | Leaks::Warn => Watch::begin(&self.collected.secrets, &self.collected.unsearched),
            Leaks::Off => None,
        };
        let code = self.run_supervised(&mut supervisor, command, removed, safeguards.masking).await?;
        let Some(watch) = watch else { return Ok(code) };
        let fails_step = code == 0 && safeguards.leaks == Leaks::Fail;
        match watch.check(supervisor.interrupted()).await {
            Ok(Checked::Interrupted(by_signal)) => Ok(if code == 0 { by_signal } else { code }),
            Ok(Checked::Found(None)) => Ok(code),
            Ok(Checked::Found(Some(leaked))) if fails_step => Err(leaked.into()),
            Ok(Checked::Found(Some(leaked))) => {
                warn_about(&leaked);
                Ok(code)
            }
            Err(error) if fails_step => Err(LaunchError::LeakCheck(error)),
            Err(error) => {
                warn!("the leak check failed: {error}");
                Ok(code)
            }
        }
    }

    /// Everything between the setup for COMMAND and its removal.
    async fn run_supervised(
        self,
        supervisor: &mut Supervisor,
        command: &CommandLine,
        removed: &[&str],
        masking: Masking,
    ) -> Result<u32, LaunchError> {
        let mask = match masking {
            Masking::On => self.mask(),
            Masking::Off => None,
        };
        let Collected { mut variables, files, git_servers, secrets, .. } = self.collected;
        drop(secrets);
        let directory = match (files.as_slice(), &self.agent) {
            ([], None) => None,
            (_, _) => Some(PrivateDir::create().map_err(LaunchError::Prepare)?),
        };
        let accesses: Vec<Access> = files
            .iter()
            .map(|(_, target, _)| target.access)
            .chain(self.agent.as_ref().map(AgentSession::access))
            .collect();
        if !git_servers.is_empty() || self.agent.is_some() {
            warn_if_program_is_closed(&accesses);
        }
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
            directory.admit(accesses).map_err(LaunchError::Prepare)?;
        }
        let mut proxy = None;
        if let Some(http) = self.http {
            let lookup = |name: &str| {
                let delivered = variables.iter().rev().find(|(delivered, _)| delivered == name);
                match delivered {
                    Some((_, value)) => Some(value.clone()),
                    None if removed.contains(&name) => None,
                    None => std::env::var_os(name),
                }
            };
            let (offered, more) = http.offer(lookup).await?;
            proxy = Some(offered);
            variables.extend(more);
        }
        credential_helper::set_up(&git_servers, &mut variables)?;
        let mut child = command.prepare(variables, removed);
        let output = match mask {
            None => None,
            Some(mask) => MaskedOutput::attach(&mut child, mask).map_err(LaunchError::Prepare)?,
        };
        let running = supervisor.run_prepared(child);
        let running = async {
            match proxy {
                None => running.await,
                Some(proxy) => proxy.serve_during(running).await,
            }
        };
        let code = match serving {
            None => running.await,
            // Last, as it ends the session.
            Some(serving) => serving.serve_during(running).await,
        };
        drop(placed);
        let code = code.map_err(LaunchError::Start)?;
        let Some(output) = output else { return Ok(code) };
        match finish(output, supervisor).await {
            Finished::Written(Ok(())) => Ok(code),
            Finished::Written(Err(error)) if code == 0 => Err(LaunchError::Output(error)),
            Finished::Written(Err(error)) => {
                warn!("cannot write COMMAND's output: {error}");
                Ok(code)
            }
            Finished::Interrupted(by_signal) => {
                warn!("a part of COMMAND's output is lost: it was not read before a signal came");
                Ok(if code == 0 { by_signal } else { code })
            }
        }
    }
}

/// How COMMAND's output came to its end.
enum Finished {
    Written(io::Result<()>),
    /// By a signal with this exit code: the output takes nothing any more.
    Interrupted(u32),
}

/// Waits until COMMAND's output is written. An output that takes nothing must not keep a signal from ending the step. If all
/// can be written, the signal changes nothing: it may have come just before COMMAND ended.
async fn finish(output: MaskedOutput, supervisor: &mut Supervisor) -> Finished {
    let mut writing = pin!(output.finish());
    let by_signal = tokio::select! {
        written = &mut writing => return Finished::Written(written),
        by_signal = supervisor.interrupted() => by_signal,
    };
    match timeout(OUTPUT_GRACE, writing).await {
        Ok(written) => Finished::Written(written),
        Err(_) => Finished::Interrupted(by_signal),
    }
}

/// git and ssh of another user run this program too.
fn warn_if_program_is_closed(accesses: &[Access]) {
    let Ok(program) = std::env::current_exe() else { return };
    let closed = accesses.iter().find(|access| !access::may_execute(&program, **access));
    if let Some(uid) = closed.and_then(|access| access.uid) {
        warn!(
            "user {uid} cannot execute {}, which git and ssh run: put it where every user can, with mode 0755",
            program.display()
        );
    }
}

/// For a step that fails anyway, or must not fail because of leaks.
fn warn_about(leaked: &Leaked) {
    for leak in &leaked.leaks {
        warn!("COMMAND wrote a secret to a file: {leak}");
    }
    if leaked.more > 0 {
        warn!("{} more leaks are not shown", leaked.more);
    }
}
