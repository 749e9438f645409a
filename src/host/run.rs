//! `run`: a bridge that runs as long as COMMAND.

use std::ffi::{OsStr, OsString};

use bridge_host::{Agents, Bridge, HttpCredentials, SecretStore, Summary, child};
use clap::Args;
use proto::Key;
use serde_json::json;
use tokio::process::Child;
use tokio::sync::oneshot;
use tracing::warn;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::inspection::inspect;
use crate::host::options::OUTPUT;
use crate::host::options::bridge::{BridgeOptions, Defaults, ResolvedBridge};
use crate::host::scan::{ScanTarget, ScannedImage};
use crate::host::signals;
use crate::messages;
use crate::runtime::block_on;
use crate::usage::UsageError;
use crate::values::{self, Format};

/// The variables that hold the conf for COMMAND, and for `--build-arg NAME` without a value.
const CARRIERS: [&str; 2] = ["FTP_PROXY", "BRIDGE_CONF"];

#[derive(Debug, Args)]
#[command(override_usage = "secrets-bridge run [OPTIONS] -- COMMAND [ARGUMENT]…")]
#[command(after_help = "\
COMMAND finds the bridge conf in $FTP_PROXY and $BRIDGE_CONF, so that --build-arg FTP_PROXY without a value passes it \
on. The exit code is that of COMMAND; a summary is printed at the end.

Examples:
  secrets-bridge run --secret NPM_TOKEN -- \\
    docker build --build-arg FTP_PROXY -t app .
  Search the image for the secrets at the end:
    secrets-bridge run --secret NPM_TOKEN --scan app -- \\
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
        let ResolvedBridge { config, secrets, agents, scan } = self.bridge.resolve(defaults)?;
        let target = self.scan.as_deref().map(ScanTarget::parse).transpose()?.or(scan);
        let image = ScannedImage::after_command(target, self.engine.as_deref(), &self.command)?;
        let format = values::format(self.format.as_deref())?;
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| UsageError::CommandLine("missing COMMAND: run [OPTIONS] -- COMMAND".to_owned()))?;
        warn_of_side_effects(&self.command);
        let store = SecretStore::open_and_inspect(secrets, inspect)?;
        let agents = Agents::open(agents)?;
        let (code, summary) = block_on(async {
            let searched = match image {
                Some(_) => store.read_all().await?,
                None => Vec::new(),
            };
            let bridge = Bridge::bind(&config, store, agents, HttpCredentials::none())?;
            let conf = bridge.conf().to_text();
            let mut forwarder =
                signals::Forwarder::new().map_err(|error| Failure::io("cannot listen for signals", error))?;
            let conf_text = String::from_utf8_lossy(conf.expose());
            let mut command = tokio::process::Command::from(child::command(program));
            command.args(arguments).envs(CARRIERS.map(|name| (name, &*conf_text)));
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
            Format::Text => messages::print(&format!("secrets-bridge: {}", sentence(&summary))),
            Format::Json => messages::print(&as_json(&summary, code)),
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

fn sentence(summary: &Summary) -> String {
    // Signatures through --agent-socket belong to no session.
    if summary.sessions == 0 && summary.signatures == 0 && summary.refusals == 0 {
        return match (summary.handshakes_refused, summary.connections) {
            (0, 0) => "no connection arrived: every step cached, or the build cannot reach this host (docs/REACH.md)"
                .to_owned(),
            (0, arrived) => format!("no session: {} that asked for no secret", counted(arrived, "connection")),
            (refused, _) => format!("no session: {} refused in the handshake", counted(refused, "connection")),
        };
    }
    let keys: Vec<&str> = summary.keys.iter().map(Key::as_str).collect();
    let named = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
    let mut sentence = format!(
        "{}, {} read{named}, {}, {}",
        counted(summary.sessions, "session"),
        counted(keys.len() as u64, "key"),
        counted(summary.signatures, "signature"),
        counted(summary.refusals, "refusal"),
    );
    if summary.handshakes_refused > 0 {
        sentence += &format!(", {} refused", counted(summary.handshakes_refused, "handshake"));
    }
    sentence
}

pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn as_json(summary: &Summary, code: u32) -> String {
    let keys: Vec<&str> = summary.keys.iter().map(Key::as_str).collect();
    json!({
        "exit_code": code,
        "connections": summary.connections,
        "sessions": summary.sessions,
        "keys": keys,
        "signatures": summary.signatures,
        "refusals": summary.refusals,
        "handshakes_refused": summary.handshakes_refused,
    })
    .to_string()
}

/// Warns of side effects of the variables and of build-args.
fn warn_of_side_effects(command: &[OsString]) {
    let words: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
    if pushes(&words) && carries_by_build_arg(&words) {
        warn!(
            "COMMAND pushes while the bridge lives, and provenance (mode=max) records build-args: push after `run` \
             has ended, or pass the conf as a BuildKit secret"
        );
    }
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| value != *OsStr::new(""));
    if ["FTP_PROXY", "ftp_proxy"].iter().any(is_set) {
        warn!("FTP_PROXY is set; COMMAND gets the bridge conf in its place");
    }
}

fn pushes(words: &[&str]) -> bool {
    words.iter().any(|word| {
        matches!(*word, "--push" | "--push=true")
            || word.contains("type=registry")
            || word.contains("push=true")
    })
}

fn carries_by_build_arg(words: &[&str]) -> bool {
    let names_carrier = |argument: &str| CARRIERS.contains(&argument.split('=').next().unwrap_or_default());
    words.iter().any(|word| word.strip_prefix("--build-arg=").is_some_and(names_carrier))
        || words.windows(2).any(|pair| matches!(pair, ["--build-arg", argument] if names_carrier(argument)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_with_a_build_arg_carrier_is_noticed() {
        let words = ["docker", "buildx", "build", "--push", "--build-arg", "FTP_PROXY", "."];
        assert!(pushes(&words) && carries_by_build_arg(&words));
        assert!(carries_by_build_arg(&["--build-arg=BRIDGE_CONF"]));
        assert!(!carries_by_build_arg(&["--build-arg", "VERSION=1"]));
        assert!(pushes(&["--output", "type=image,push=true"]));
    }

    #[test]
    fn the_summary_says_when_nothing_arrived() {
        assert!(sentence(&Summary::default()).starts_with("no connection arrived"));
        let refused = Summary { handshakes_refused: 2, ..Summary::default() };
        assert_eq!(sentence(&refused), "no session: 2 connections refused in the handshake");
        let tested = Summary { connections: 1, ..Summary::default() };
        assert_eq!(sentence(&tested), "no session: 1 connection that asked for no secret");
        let signed = Summary { signatures: 1, ..Summary::default() };
        assert_eq!(sentence(&signed), "0 sessions, 0 keys read, 1 signature, 0 refusals");
    }

    #[test]
    fn the_summary_names_the_keys() {
        let summary = Summary {
            sessions: 1,
            keys: ["A", "B"].map(|key| key.parse().unwrap()).into(),
            ..Summary::default()
        };
        assert_eq!(sentence(&summary), "1 session, 2 keys read (A, B), 0 signatures, 0 refusals");
    }
}
