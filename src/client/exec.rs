//! `exec`: runs COMMAND with secrets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use bridge_client::conf_source::{self, Located};
use bridge_client::{
    Client, ClientError, CommandLine, Launch, LaunchError, Leaks, Masking, Prepared, Safeguards, mounted,
};
use clap::Args;

use crate::cli::command::ConfCommand;
use crate::cli::options::CONNECTION;
use crate::client::options::agent::AgentOptions;
use crate::client::options::connect::ConnectOptions;
use crate::client::options::http::HttpOptions;
use crate::client::options::secrets::SecretOptions;
use crate::failure::Failure;
use crate::messages;
use crate::runtime::block_on;
use crate::usage::UsageError;

// A heading in the help.
const LEAKS: &str = "Leaks";

#[derive(Debug, Args)]
#[command(override_usage = "\
secrets-bridge exec [OPTIONS] -- COMMAND [ARGUMENT]…
       secrets-bridge exec [OPTIONS] --sh SCRIPT")]
#[command(after_help = "\
COMMAND starts after all secrets have arrived, or not at all. The exit code is that of COMMAND, or 125 if it succeeded and \
its output could not be written. Signals are forwarded to COMMAND. The bridge conf is removed from the environment of COMMAND.

Examples:
  secrets-bridge exec -e NPM_TOKEN -- npm ci
  secrets-bridge exec -e TOKEN=ci/npm -e CERT=b64:cert -- ./build.sh
  secrets-bridge exec --file netrc=~/.netrc -- ./build.sh
  secrets-bridge exec --file npmrc=~/.npmrc,optional -- npm ci
  secrets-bridge exec --git-credentials -- git clone https://git.example/repo
  With credentials that stay on the host (`run --http-credential`):
    secrets-bridge exec --http -- npm ci
    secrets-bridge exec --http -- git clone https://git.example/org/repo.git
  For a COMMAND that runs as another user than root:
    secrets-bridge exec --file npmrc=/home/app/.npmrc,uid=app -- su app -c 'npm ci'
    secrets-bridge exec --ssh uid=app -- setpriv --reuid=app --clear-groups git clone git@…
  With the SSH agent of the bridge:
    secrets-bridge exec -- git clone git@git.example:org/repo.git
  With a variable that the shell expands:
    secrets-bridge exec -e TOKEN --sh 'curl -H \"X-Token: $TOKEN\" https://…'
  (In `exec -e TOKEN -- echo $TOKEN`, another shell expands it, too early.)

The leak check is a check, not a proof. It searches the files that were created or changed while COMMAND ran for the \
secrets as they are and as tools encode them: base64, hex, URL encoding, JSON, XML, shell quoting, UTF-16; also inside gzip \
and zip. It does not find base32, base64 in base64, or what bzip2, xz or zstd compressed (docs/LEAKS.md lists the forms), nor \
secrets of less than 8 characters. In a container it covers \
the file systems of / and of the working directory; on a Linux host, the working directory, HOME and the temporary \
directory. Cache mounts and other file systems are not searched. With -v, the places are printed.")]
pub(crate) struct Exec {
    /// Command to run, with its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
    /// Run SCRIPT with the shell, after variables are set
    #[arg(long = "sh", value_name = "SCRIPT", conflicts_with = "command")]
    script: Option<OsString>,
    #[command(flatten)]
    requests: SecretOptions,
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    agent: AgentOptions,
    /// Do not mask secrets in the output of COMMAND
    ///
    /// Default: output that does not go to a terminal has *** in place of secrets, also in the encodings that the
    /// leak check knows, but not in compressed output. What processes that outlive COMMAND print is discarded.
    #[arg(long, help_heading = LEAKS)]
    no_mask: bool,
    /// What to do if COMMAND wrote a secret into a file [default: fail]
    ///
    /// fail (with the exit code 125, if COMMAND succeeded), warn, or off (do not search files).
    #[arg(long, value_name = "fail|warn|off", help_heading = LEAKS)]
    leaks: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
    /// Take secrets from DIRECTORY if there is no bridge conf
    ///
    /// Each file there has the name of its key. Default: /run/secrets, where builders mount secrets.
    #[cfg_attr(windows, doc = r"On Windows, C:\ProgramData\Docker\secrets.")]
    #[arg(long, value_name = "DIRECTORY", help_heading = CONNECTION)]
    secrets_dir: Option<PathBuf>,
    /// Fail if there is no bridge conf
    #[arg(long, conflicts_with = "secrets_dir", help_heading = CONNECTION)]
    no_fallback: bool,
}

impl ConfCommand for Exec {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let requests = self.requests.resolve()?;
        let command = command_line(self.script, self.command)?;
        let agent = self.agent.resolve()?;
        let http = self.http.resolve(&requests)?;
        if self.http.is_required() && self.secrets_dir.is_some() {
            return Err(UsageError::CommandLine(
                "--http cannot be used with --secrets-dir: it needs a bridge (--http=optional does not)"
                    .to_owned(),
            )
            .into());
        }
        let removed = conf_source::variables_to_remove();
        let masking = if self.no_mask { Masking::Off } else { Masking::On };
        let safeguards = Safeguards { masking, leaks: leaks(self.leaks.as_deref())? };
        let named = self.connect.named_endpoints()?;
        let client;
        let launch = match conf_source::find(conf).map_err(ClientError::from)? {
            Located::Conf(conf) => {
                client = Client::new(&conf, &named)?;
                block_on(async {
                    let prepared = client.prepare(&requests, &agent, &http).await?;
                    launch(prepared, &command, &removed, safeguards).await
                })
            }
            Located::Nowhere(no_conf) if self.no_fallback => return Err(ClientError::from(no_conf).into()),
            Located::Nowhere(no_conf) => {
                let prepared = mounted::prepare(&requests, &http, self.secrets_dir.as_deref(), no_conf)
                    .map_err(ClientError::from)?;
                block_on(launch(prepared, &command, &removed, safeguards))
            }
        };
        match launch.flatten()? {
            Launch::Exited(code) => Ok(code),
            Launch::Replace(replacement) => {
                messages::finish();
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
        | LaunchError::Http(_)
        | LaunchError::Git(_)
        | LaunchError::Output(_)
        | LaunchError::Leaked(_)
        | LaunchError::LeakCheck(_)) => ClientError::from(error).into(),
    })
}

fn not_started(command: &CommandLine, source: io::Error) -> Failure {
    Failure::Command { program: command.program.to_string_lossy().into_owned(), source }
}

fn leaks(value: Option<&str>) -> Result<Leaks, UsageError> {
    match value {
        None | Some("fail") => Ok(Leaks::Fail),
        Some("warn") => Ok(Leaks::Warn),
        Some("off") => Ok(Leaks::Off),
        Some(_) => Err(UsageError::option("--leaks", "must be fail, warn or off")),
    }
}

fn command_line(script: Option<OsString>, command: Vec<OsString>) -> Result<CommandLine, UsageError> {
    let mut words = command.into_iter();
    match (script, words.next()) {
        (Some(script), _) => Ok(CommandLine::shell(script)),
        (None, Some(program)) => Ok(CommandLine::new(program, words.collect())),
        (None, None) => Err(UsageError::CommandLine("missing COMMAND: exec [OPTIONS] -- COMMAND".to_owned())),
    }
}
