//! `exec`: COMMAND with secrets.

use std::ffi::{OsStr, OsString};
use std::io;

use bridge_client::child::CommandLine;
use bridge_client::{AgentWish, ClientError, Prepared, carrier};
use clap::Args;
use proto::agent::AgentId;

use crate::cli::block_on;
use crate::cli::client_options::ClientOptions;
use crate::cli::usage::UsageError;
use crate::cli::wishes::WishOptions;
use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(override_usage = "\
secrets-bridge exec [OPTIONS] -- COMMAND [ARGUMENT]…
       secrets-bridge exec [OPTIONS] --sh SCRIPT")]
#[command(after_help = "\
Examples:
  secrets-bridge exec -e NPM_TOKEN -- npm ci
  secrets-bridge exec -e TOKEN=ci/npm -e CERT=b64:cert -- ./build.sh
  secrets-bridge exec --file netrc=~/.netrc --file npmrc=~/.npmrc,optional -- ./build.sh
  secrets-bridge exec -- git clone git@git.example:org/repo.git          (with the bridge's SSH agent)
  secrets-bridge exec -e TOKEN --sh 'curl -H \"Authorization: Bearer $TOKEN\" https://…'

Everything is fetched before COMMAND starts, or it does not start. The bridge conf is taken out of COMMAND's environment.
In `exec -e TOKEN -- echo $TOKEN` the shell that reads the line expands $TOKEN, before there is one: use --sh.")]
pub(crate) struct Exec {
    #[command(flatten)]
    wishes: WishOptions,
    /// Run SCRIPT in the shell, which expands variables after they are set
    #[arg(long = "sh", value_name = "SCRIPT", conflicts_with = "command")]
    script: Option<OsString>,
    /// Give COMMAND the SSH agent ID, or fail where the bridge does not offer it [default: the agent "default", if it
    /// is offered]
    #[arg(long = "ssh", value_name = "ID", num_args = 0..=1, default_missing_value = "default", require_equals = true)]
    ssh: Option<String>,
    /// No SSH agent: leave SSH_AUTH_SOCK alone
    #[arg(short = 'A', long = "no-ssh-agent", conflicts_with = "ssh")]
    no_ssh_agent: bool,
    #[command(flatten)]
    client: ClientOptions,
    /// COMMAND and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Exec {
    pub(crate) fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let wishes = self.wishes.understand()?;
        let command = command_line(self.script, self.command)?;
        let client = self.client.client(conf)?;
        let agent = agent_wish(self.ssh.as_deref(), self.no_ssh_agent)?;
        let removed = carrier::variables_to_remove();
        let not_started =
            |source| Failure::Command { program: command.program.to_string_lossy().into_owned(), source };
        let left = block_on(async {
            let prepared = client.prepare(&wishes, &agent).await?;
            if prepared.is_bare() {
                return Ok(Left::Everything(Box::new(prepared)));
            }
            prepared.run(&command, &removed).await.map(Left::Code)
        })?;
        let left: Result<Left<'_>, ClientError> = left;
        match left? {
            Left::Code(code) => code.map_err(not_started),
            Left::Everything(prepared) => prepared.become_it(&command, &removed).map_err(not_started),
        }
    }
}

/// What is left once the bridge was asked.
enum Left<'a> {
    /// All of it, and nothing has to happen after COMMAND.
    Everything(Box<Prepared<'a>>),
    /// COMMAND's exit code, if it started.
    Code(io::Result<u32>),
}

/// Windows has no socket for COMMAND yet, so an agent has to be asked for there, and that fails.
fn agent_wish(ssh: Option<&str>, no_ssh_agent: bool) -> Result<AgentWish, UsageError> {
    let id = |text: &str| text.parse::<AgentId>().map_err(|error| UsageError::option("--ssh", error));
    match ssh {
        Some(ssh) => Ok(AgentWish::Required(id(ssh)?)),
        None if no_ssh_agent || cfg!(windows) => Ok(AgentWish::No),
        None => Ok(AgentWish::IfOffered(id("default")?)),
    }
}

fn command_line(script: Option<OsString>, command: Vec<OsString>) -> Result<CommandLine, UsageError> {
    let mut words = command.into_iter();
    match (script, words.next()) {
        (Some(script), _) => Ok(CommandLine::shell(script)),
        (None, Some(program)) => Ok(CommandLine { program, arguments: words.collect() }),
        (None, None) => {
            Err(UsageError::CommandLine("COMMAND is missing: exec [OPTIONS] -- COMMAND".to_owned()))
        }
    }
}
