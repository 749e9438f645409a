//! `exec`: COMMAND with secrets.

use std::ffi::{OsStr, OsString};
use std::io;

use bridge_client::child::CommandLine;
use bridge_client::{AgentWish, ClientError, EnvWish, Prepared, carrier, child};
use clap::Args;
use proto::agent::AgentId;
use proto::{KeyError, KeyForm};

use crate::cli::block_on;
use crate::cli::client_options::ClientOptions;
use crate::cli::usage::UsageError;
use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(override_usage = "\
secrets-bridge exec [OPTIONS] -- COMMAND [ARGUMENT]…
       secrets-bridge exec [OPTIONS] --sh SCRIPT")]
#[command(after_help = "\
Examples:
  secrets-bridge exec -e NPM_TOKEN -- npm ci
  secrets-bridge exec -e TOKEN=ci/npm -e CERT=b64:cert -- ./build.sh
  secrets-bridge exec -- git clone git@git.example:org/repo.git          (with the bridge's SSH agent)
  secrets-bridge exec -e TOKEN --sh 'curl -H \"Authorization: Bearer $TOKEN\" https://…'

Everything is fetched before COMMAND starts, or it does not start. The bridge conf is taken out of COMMAND's environment.
In `exec -e TOKEN -- echo $TOKEN` the shell that reads the line expands $TOKEN, before there is one: use --sh.")]
pub(crate) struct Exec {
    /// Set variable VAR to the secret KEY; KEY alone names both. KEY may have the prefix b64:, b64u:, rb64: or rb64u:
    /// for base64, base64url, and both without padding
    #[arg(short = 'e', long = "env", value_name = "[VAR=]KEY")]
    env: Vec<String>,
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
        let wishes = wishes(&self.env)?;
        let command = command_line(self.script, self.command)?;
        let client = self.client.client(conf)?;
        let agent = agent_wish(self.ssh.as_deref(), self.no_ssh_agent)?;
        let removed = carrier::variables_to_remove();
        let not_started =
            |source| Failure::Command { program: command.program.to_string_lossy().into_owned(), source };
        let left = block_on(async {
            let Prepared { variables, agent } = client.prepare(&wishes, &agent).await?;
            match agent {
                None => Ok(Left::Variables(variables)),
                Some(agent) => agent.run(&command, variables, &removed).await.map(Left::Code),
            }
        })?;
        let left: Result<Left, ClientError> = left;
        match left? {
            Left::Code(code) => code.map_err(not_started),
            Left::Variables(variables) => child::run(&command, variables, &removed).map_err(not_started),
        }
    }
}

/// What is left once the bridge was asked.
enum Left {
    /// COMMAND, with these variables; nothing has to happen after it.
    Variables(Vec<(String, OsString)>),
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

fn wishes(options: &[String]) -> Result<Vec<EnvWish>, UsageError> {
    let mut wishes: Vec<EnvWish> = Vec::new();
    for option in options {
        let wish = wish(option)?;
        if wishes.iter().any(|other| other.variable == wish.variable) {
            return Err(UsageError::option("-e", format!("the variable {} is set twice", wish.variable)));
        }
        wishes.push(wish);
    }
    Ok(wishes)
}

fn wish(option: &str) -> Result<EnvWish, UsageError> {
    let key_form =
        |text: &str| text.parse::<KeyForm>().map_err(|error: KeyError| UsageError::option("-e", error));
    let (variable, form) = match option.split_once('=') {
        Some((variable, form)) => (variable.to_owned(), key_form(form)?),
        None => {
            let form = key_form(option)?;
            (form.key.to_string(), form)
        }
    };
    if is_variable_name(&variable) {
        Ok(EnvWish { variable, form })
    } else {
        let problem = format!("{} is no name of a variable: write -e VAR=KEY", proto::escape(&variable));
        Err(UsageError::option("-e", problem))
    }
}

/// What shells can refer to (POSIX.1, 3.216).
fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_variable_unless_it_cannot() {
        assert_eq!(wish("TOKEN").map(|wish| wish.variable).ok().as_deref(), Some("TOKEN"));
        assert_eq!(wish("b64:TOKEN").map(|wish| wish.variable).ok().as_deref(), Some("TOKEN"));
        assert_eq!(wish("T=ci/npm").map(|wish| wish.variable).ok().as_deref(), Some("T"));
        for wrong in ["ci/npm", "=k", "A=", "A B=k", "1A=k", "A=b32:k"] {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_cannot_be_set_twice() {
        assert!(wishes(&["A=x".into(), "A=y".into()]).is_err());
        assert!(wishes(&["A=x".into(), "B=x".into()]).is_ok());
    }
}
