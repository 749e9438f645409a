//! `serve`: a bridge that runs until it is stopped.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use bridge_host::{Agents, Bridge, HttpCredentials, SecretStore, Source, private_file};
use clap::Args;
use proto::Secret;
use serde_json::json;
use tracing::{info, warn};

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::inspection::inspect;
use crate::host::options::bridge::{BridgeOptions, Defaults, ResolvedBridge};
use crate::host::options::{LIFETIME, OUTPUT};
use crate::host::run::counted;
use crate::host::{daemonize, signals};
use crate::runtime::block_on;
use crate::usage::UsageError;
use crate::values::{self, Format};

const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Start a bridge in the background, build, and stop it:
    CONF=$(secrets-bridge serve -d bridge.log --secret NPM_TOKEN)
    docker build --build-arg FTP_PROXY=\"$CONF\" -t app .
    secrets-bridge kill -c \"$CONF\"
  Offer an SSH key for one host only:
    secrets-bridge serve --ssh deploy=$HOME/.ssh/key --ssh-allow-host git.example")]
pub(crate) struct Serve {
    #[command(flatten)]
    bridge: BridgeOptions,
    /// Do not let the command `kill` of a client stop the bridge
    #[arg(long, help_heading = LIFETIME)]
    no_kill: bool,
    /// Write the conf to a file instead of standard output
    #[arg(short = 'w', long = "write-conf", help_heading = OUTPUT)]
    write_conf: bool,
    /// File for -w, readable only by this user [default: ~/.bridge-conf]
    #[arg(short = 'f', long = "bridge-conf-file", value_name = "FILE", help_heading = OUTPUT)]
    conf_file: Option<PathBuf>,
    /// Stay in the background once the bridge is ready, with messages in LOG
    #[arg(short = 'd', long = "daemonize", value_name = "LOG", help_heading = OUTPUT)]
    log: Option<PathBuf>,
    /// Print the conf as text or json [default: text]
    ///
    /// JSON has the port, the endpoints and the expiry too.
    #[arg(long, value_name = "FORMAT", help_heading = OUTPUT)]
    format: Option<String>,
}

impl Command for Serve {
    fn run(self) -> Result<u32, Failure> {
        if let Some(log) = &self.log {
            // So that a usage error is printed here, and not in the log of the background half.
            let resolved = self.bridge.resolve(self.defaults())?;
            return daemonize::start(log, &resolved.secrets);
        }
        self.serve(None, |conf| {
            if !conf.is_empty() {
                let mut stdout = io::stdout().lock();
                stdout.write_all(conf)?;
                stdout.flush()?;
            }
            Ok(())
        })
    }
}

impl Serve {
    fn defaults(&self) -> Defaults {
        Defaults { lifetime: Some(DEFAULT_LIFETIME), kill_allowed: !self.no_kill }
    }

    /// The file to which -d writes messages.
    pub(crate) fn log(&self) -> Option<&std::path::Path> {
        self.log.as_deref()
    }

    /// Runs the bridge. `input` is standard input, if that has been read already. `announce` gets the text for standard
    /// output once connections are accepted.
    pub(crate) fn serve(
        self,
        input: Option<Secret>,
        announce: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<u32, Failure> {
        let ResolvedBridge { config, mut secrets, http, agents, scan: _ } =
            self.bridge.resolve(self.defaults())?;
        if let Some(input) = input
            && let Some(spec) = secrets.iter_mut().find(|spec| matches!(spec.source, Source::Stdin))
        {
            spec.source = Source::Literal(input);
        }
        let format = values::format(self.format.as_deref())?;
        let store = SecretStore::open_and_inspect(secrets, inspect)?;
        let rules = http.len();
        let http = HttpCredentials::open(http, &store)?;
        let agents = Agents::open(agents)?;
        let offered = offered(store.keys().len(), agents.ids().len(), rules);
        if store.keys().is_empty() && agents.ids().is_empty() && rules == 0 {
            warn!("the bridge offers nothing: none of --secret, --ssh and --http-credential was given");
        }
        let ended = block_on(async {
            // Before the conf is published: its reader may send a signal at once.
            let signals =
                signals::shutdown().map_err(|error| Failure::io("cannot listen for signals", error))?;
            let bridge = Bridge::bind(&config, store, agents, http)?;
            let text = self.conf_text(&bridge, format)?;
            announce(text.expose())
                .map_err(|error| Failure::io("cannot write the conf to standard output", error))?;
            info!(
                "the bridge listens on port {} with {offered}{}",
                bridge.conf().port,
                ends(config.lifetime)
            );
            let (ended, _) = bridge.run(signals).await;
            Ok::<_, Failure>(ended)
        })??;
        info!("the bridge has stopped: {}", ended.reason());
        Ok(0)
    }

    /// The text for standard output: empty, if the conf is written to a file.
    fn conf_text(&self, bridge: &Bridge, format: Format) -> Result<Secret, Failure> {
        let conf = bridge.conf();
        let text = conf.to_text();
        if self.write_conf || self.conf_file.is_some() {
            let path = self.conf_path()?;
            private_file::write(&path, &[text.expose(), b"\n"].concat())
                .map_err(|error| Failure::io(format!("cannot write {}", path.display()), error))?;
            info!("the conf is in {}", path.display());
            return Ok(Secret::new(Vec::new()));
        }
        let line = match format {
            Format::Text => [text.expose(), b"\n"].concat(),
            Format::Json => {
                let endpoints: Vec<_> =
                    conf.endpoints.iter().map(|endpoint| endpoint.with_port(conf.port)).collect();
                let conf_text = String::from_utf8_lossy(text.expose());
                let value = json!({ "conf": conf_text, "port": conf.port, "endpoints": endpoints, "expiry": conf.expiry });
                format!("{value}\n").into_bytes()
            }
        };
        Ok(Secret::new(line))
    }

    fn conf_path(&self) -> Result<PathBuf, Failure> {
        match (&self.conf_file, local_ipc::home_directory()) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(home)) => Ok(home.join(".bridge-conf")),
            (None, None) => Err(UsageError::option("-w", "no home directory: name a file with -f").into()),
        }
    }
}

fn offered(secrets: usize, agents: usize, rules: usize) -> String {
    let secrets = counted(secrets as u64, "secret");
    let others = [(agents, "SSH agent"), (rules, "HTTP credential")];
    let others = others.iter().filter(|(number, _)| *number > 0);
    let all: Vec<String> = others.map(|(number, noun)| counted(*number as u64, noun)).collect();
    match all.as_slice() {
        [] => secrets,
        [one] => format!("{secrets} and {one}"),
        several => format!("{secrets}, {}", several.join(" and ")),
    }
}

fn ends(lifetime: Option<Duration>) -> String {
    match lifetime {
        Some(lifetime) => format!(", for {}", humantime::format_duration(lifetime)),
        None => String::new(),
    }
}
