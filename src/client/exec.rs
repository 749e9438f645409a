//! `exec`: COMMAND with secrets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use bridge_client::conf_source::{self, Located};
use bridge_client::{
    AgentRequest, Client, ClientError, CommandLine, Launch, LaunchError, Leaks, Masking, Prepared,
    Safeguards, mounted,
};
use clap::Args;
use proto::agent::AgentId;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ClientOptions;
use crate::client::options::secrets::SecretOptions;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::usage::UsageError;

#[derive(Debug, Args)]
#[command(override_usage = "\
secrets-bridge exec [OPTIONS] -- COMMAND [ARGUMENT]…
       secrets-bridge exec [OPTIONS] --sh SCRIPT")]
#[command(after_help = "\
Examples:
  secrets-bridge exec -e NPM_TOKEN -- npm ci
  secrets-bridge exec -e TOKEN=ci/npm -e CERT=b64:cert -- ./build.sh
  secrets-bridge exec --file netrc=~/.netrc --file npmrc=~/.npmrc,optional -- ./build.sh
  secrets-bridge exec --git-credentials -- git clone https://git.example/org/repo.git
  secrets-bridge exec -- git clone git@git.example:org/repo.git          (with the bridge's SSH agent)
  secrets-bridge exec -e TOKEN --sh 'curl -H \"Authorization: Bearer $TOKEN\" https://…'

Everything is fetched before COMMAND starts, or it does not start. The bridge conf is taken out of COMMAND's environment.
The leak check is a check, not a proof: files that were created or changed while COMMAND ran are searched for the secrets as
they are, in base64, URL encoding and hex; nothing under 8 characters. In a container it covers the file systems of / and
of the working directory; on a Linux host, the working directory, HOME and the temporary directory. Cache mounts and other
file systems are not searched. With -v it says where it looked.
In `exec -e TOKEN -- echo $TOKEN` the shell that reads the line expands $TOKEN, before there is one: use --sh.")]
pub(crate) struct Exec {
    #[command(flatten)]
    requests: SecretOptions,
    /// Run SCRIPT in the shell, which expands variables after they are set
    #[arg(long = "sh", value_name = "SCRIPT", conflicts_with = "command")]
    script: Option<OsString>,
    /// Give COMMAND the SSH agent ID, or fail where the bridge does not offer it [default: the agent "default", if it
    /// is offered]
    #[arg(long = "ssh", value_name = "ID", num_args = 0..=1, default_missing_value = "default")]
    ssh: Option<String>,
    /// No SSH agent: leave SSH_AUTH_SOCK alone
    #[arg(short = 'A', long = "no-ssh-agent", conflicts_with = "ssh")]
    no_ssh_agent: bool,
    /// Leave secrets in COMMAND's output as they are. Otherwise *** takes their place, where it does not go to a terminal;
    /// that of base64, URL encoding and a few other forms too
    #[arg(long)]
    no_mask: bool,
    /// What to do when COMMAND wrote a secret into a file: fail (with 125, if COMMAND succeeded), warn, or off (do not
    /// look) [default: fail]
    #[arg(long, value_name = "fail|warn|off")]
    leaks: Option<String>,
    /// Where secrets are taken from if no bridge conf was found anywhere: files named like their keys [default:
    /// /run/secrets, where builders mount them]
    #[cfg_attr(windows, doc = r"(on Windows C:\ProgramData\Docker\secrets)")]
    #[arg(long, value_name = "DIRECTORY")]
    secrets_dir: Option<PathBuf>,
    /// The bridge or nothing: fail if no bridge conf was found
    #[arg(long, conflicts_with = "secrets_dir")]
    no_fallback: bool,
    #[command(flatten)]
    client: ClientOptions,
    /// COMMAND and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl ConfCommand for Exec {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let requests = self.requests.resolve()?;
        let command = command_line(self.script, self.command)?;
        let agent = agent_request(self.ssh.as_deref(), self.no_ssh_agent)?;
        let removed = conf_source::variables_to_remove();
        let masking = if self.no_mask { Masking::Off } else { Masking::On };
        let safeguards = Safeguards { masking, leaks: leaks(self.leaks.as_deref())? };
        let named = self.client.named_endpoints()?;
        let client;
        let launch = match conf_source::find(conf).map_err(ClientError::from)? {
            Located::Conf(conf) => {
                client = Client::new(&conf, &named)?;
                block_on(async {
                    let prepared = client.prepare(&requests, &agent).await?;
                    launch(prepared, &command, &removed, safeguards).await
                })
            }
            Located::Nowhere(no_conf) if self.no_fallback => return Err(ClientError::from(no_conf).into()),
            Located::Nowhere(no_conf) => {
                let prepared = mounted::prepare(&requests, self.secrets_dir.as_deref(), no_conf)
                    .map_err(ClientError::from)?;
                block_on(launch(prepared, &command, &removed, safeguards))
            }
        };
        match launch.flatten()? {
            Launch::Exited(code) => Ok(code),
            Launch::Replace(replacement) => {
                replacement.exec(&command, &removed).map_err(|source| not_started(&command, source))
            }
        }
    }
}

async fn launch(
    prepared: Prepared<'_>,
    command: &CommandLine,
    removed: &[&str],
    safeguards: Safeguards,
) -> Result<Launch, Failure> {
    prepared.launch(command, removed, safeguards).await.map_err(|error| match error {
        LaunchError::Start(source) => not_started(command, source),
        error @ (LaunchError::Prepare(_)
        | LaunchError::Delivery(_)
        | LaunchError::Agent(_)
        | LaunchError::Git(_)
        | LaunchError::Leaked(_)
        | LaunchError::LeakCheck(_)) => ClientError::from(error).into(),
    })
}

fn not_started(command: &CommandLine, source: io::Error) -> Failure {
    Failure::Command { program: command.program.to_string_lossy().into_owned(), source }
}

fn agent_request(ssh: Option<&str>, no_ssh_agent: bool) -> Result<AgentRequest, UsageError> {
    let id = |text: &str| text.parse::<AgentId>().map_err(|error| UsageError::option("--ssh", error));
    match ssh {
        Some(ssh) => Ok(AgentRequest::Required(id(ssh)?)),
        None if no_ssh_agent => Ok(AgentRequest::None),
        None => Ok(AgentRequest::IfOffered(id("default")?)),
    }
}

fn leaks(value: Option<&str>) -> Result<Leaks, UsageError> {
    match value {
        None | Some("fail") => Ok(Leaks::Fail),
        Some("warn") => Ok(Leaks::Warn),
        Some("off") => Ok(Leaks::Off),
        Some(_) => Err(UsageError::option("--leaks", "it is fail, warn or off")),
    }
}

fn command_line(script: Option<OsString>, command: Vec<OsString>) -> Result<CommandLine, UsageError> {
    let mut words = command.into_iter();
    match (script, words.next()) {
        (Some(script), _) => Ok(CommandLine::shell(script)),
        (None, Some(program)) => Ok(CommandLine::new(program, words.collect())),
        (None, None) => {
            Err(UsageError::CommandLine("COMMAND is missing: exec [OPTIONS] -- COMMAND".to_owned()))
        }
    }
}
