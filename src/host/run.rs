//! `run`: a bridge that runs as long as COMMAND.

use std::ffi::OsString;

use bridge_host::{Agents, Bridge, HttpCredentials, SecretStore, child};
use clap::Args;
use tokio::process::Child;
use tokio::sync::oneshot;
use tracing::warn;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::inspection::inspect;
use crate::host::options::bridge::{BridgeOptions, Defaults, ResolvedBridge};
use crate::host::options::{OUTPUT, http_credential};
use crate::host::scan::{ScanTarget, ScannedImage, Searched};
use crate::host::signals;
use crate::messages;
use crate::runtime::block_on;
use crate::usage::UsageError;
use crate::values::{self, Format};

mod side_effects;
mod summary;

pub(crate) use summary::counted;

use side_effects::{CARRIERS, warn_of_side_effects};

#[derive(Debug, Args)]
#[command(override_usage = "secrets-bridge run [OPTIONS] -- COMMAND [ARGUMENT]…")]
#[command(after_help = "\
COMMAND finds the bridge conf in $FTP_PROXY and $BRIDGE_CONF, so that --build-arg FTP_PROXY without a value passes it \
on. The variables that --http-credential names are not in its environment. The exit code is that of COMMAND; a summary is \
printed at the end.

Examples:
  secrets-bridge run --secret NPM_TOKEN -- \\
    docker build --build-arg FTP_PROXY -t app .
  Search the image for the secrets at the end:
    secrets-bridge run --secret NPM_TOKEN --scan app -- \\
      docker build --build-arg FTP_PROXY -t app .
  With a token that stays on this host (RUN secrets-bridge exec --http -- npm ci):
    secrets-bridge run --http-credential npm.example=NPM_TOKEN -- \\
      docker build --build-arg FTP_PROXY -t app .
  With Buildah, and a secret from a file:
    secrets-bridge run --secret id=netrc,src=$HOME/.netrc -- \\
      buildah bud --build-arg BRIDGE_CONF .
  With a project file:
    secrets-bridge run -- docker build --build-arg FTP_PROXY -t app .")]
pub(crate) struct Run {
    /// Command to run, with its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    bridge: BridgeOptions,
    /// Search IMAGE for the secrets after COMMAND has succeeded
    ///
    /// IMAGE is the name of an image that COMMAND has built, or a file (an archive or a directory), which begins with ./, ../
    /// or /. An image is saved by the program of COMMAND, if that is docker, podman, nerdctl or buildah. As with `scan`, the
    /// exit code is 1 if a secret is found. All sources are read at the start.
    #[arg(long, value_name = "IMAGE", help_heading = OUTPUT)]
    scan: Option<OsString>,
    /// Save the image of --scan by PROGRAM: docker, podman, nerdctl or buildah
    ///
    /// Needed if COMMAND is another program, such as make, sh or sudo. PROGRAM is a name in PATH, or an absolute path.
    #[arg(long, value_name = "PROGRAM", help_heading = OUTPUT)]
    engine: Option<OsString>,
    /// Print the summary as text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = OUTPUT)]
    format: Option<String>,
}

impl Command for Run {
    fn run(self) -> Result<u32, Failure> {
        // A client must not be able to end the bridge that a whole build needs.
        let defaults = Defaults { lifetime: None, kill_allowed: false };
        let ResolvedBridge { config, secrets, http, agents, scan } = self.bridge.resolve(defaults)?;
        let target = self.scan.as_deref().map(ScanTarget::parse).transpose()?.or(scan);
        let image = ScannedImage::after_command(target, self.engine.as_deref(), &self.command)?;
        let format = values::format(self.format.as_deref())?;
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| UsageError::CommandLine("missing COMMAND: run [OPTIONS] -- COMMAND".to_owned()))?;
        let removed = http_credential::variables(&http);
        warn_of_side_effects(&self.command, &removed);
        let rules: Vec<String> = http.iter().map(|spec| spec.rule.to_string()).collect();
        let store = SecretStore::open_and_inspect(secrets, inspect)?;
        let http = HttpCredentials::open(http, &store)?;
        let agents = Agents::open(agents)?;
        let (code, summary) = block_on(async {
            let searched = match image {
                Some(_) => Searched::all(store.read_all().await?, http.read_all().await?),
                None => Vec::new(),
            };
            let bridge = Bridge::bind(&config, store, agents, http)?;
            let conf = bridge.conf().to_text();
            let mut forwarder =
                signals::Forwarder::new().map_err(|error| Failure::io("cannot listen for signals", error))?;
            let conf_text = String::from_utf8_lossy(conf.expose());
            let mut command = tokio::process::Command::from(child::command(program));
            command.args(arguments);
            for variable in &removed {
                command.env_remove(variable);
            }
            command.envs(CARRIERS.map(|name| (name, &*conf_text)));
            let child = child::spawn_async(&mut command).map_err(|source| Failure::Command {
                program: program.to_string_lossy().into_owned(),
                source,
            })?;
            let (stop, stopped) = oneshot::channel::<()>();
            let serving = async {
                // An error means that the sender was dropped, which is the signal to stop.
                let (ended, summary) = bridge.run(async { _ = stopped.await }).await;
                if ended != bridge_host::BridgeEnd::Shutdown {
                    warn!("the bridge has stopped before COMMAND: {}", ended.reason());
                }
                summary
            };
            let waiting = async {
                let mut code = wait(child, &mut forwarder).await;
                if let (Ok(0), Some(image)) = (&code, &image) {
                    // This blocks the bridge, but no client is left once COMMAND has ended.
                    code = image.search(&searched, Format::Text);
                }
                drop(stop);
                code
            };
            // The bridge stops last, when `waiting` drops `stop`.
            let (code, summary) = tokio::join!(waiting, serving);
            Ok::<_, Failure>((code?, summary))
        })??;
        match format {
            Format::Text => {
                for sentence in summary::sentences(&summary, &rules) {
                    messages::print(&format!("secrets-bridge: {sentence}"));
                }
            }
            Format::Json => messages::print(&summary::as_json(&summary, &rules, code)),
        }
        Ok(code)
    }
}

/// Waits for COMMAND and forwards signals to it. Returns its exit code.
async fn wait(mut child: Child, forwarder: &mut signals::Forwarder) -> Result<u32, Failure> {
    loop {
        let id = child.id();
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| Failure::io("cannot wait for COMMAND", error))?;
                return Ok(signals::exit_code(status));
            }
            () = forwarder.forward_one(id) => {}
        }
    }
}
