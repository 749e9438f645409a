//! The command line: one file per command.

use std::ffi::OsString;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser};

use command::Command;

use crate::exit::Failure;
use crate::talk::{self, Volume};

#[cfg(feature = "host")]
mod agent_choices;
#[cfg(feature = "host")]
mod agent_options;
#[cfg(feature = "host")]
mod allow;
#[cfg(feature = "host")]
mod bridge_options;
#[cfg(feature = "host")]
mod choices;
#[cfg(feature = "client")]
mod client_options;
mod command;
#[cfg(feature = "host")]
mod detach;
#[cfg(feature = "client")]
mod exec;
#[cfg(feature = "client")]
mod git_credential;
#[cfg(feature = "host")]
mod git_credential_option;
mod image;
#[cfg(feature = "host")]
mod init;
#[cfg(feature = "client")]
mod kill;
mod parse;
#[cfg(feature = "client")]
mod print;
#[cfg(feature = "host")]
pub(crate) mod project_file;
#[cfg(feature = "host")]
mod project_options;
#[cfg(feature = "host")]
mod run;
#[cfg(feature = "host")]
mod scan;
#[cfg(feature = "host")]
mod secret_option;
#[cfg(feature = "host")]
mod serve;
#[cfg(all(feature = "host", unix))]
mod signals_unix;
#[cfg(all(feature = "host", windows))]
mod signals_windows;
#[cfg(feature = "host")]
#[cfg_attr(target_os = "linux", path = "cli/stdin_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "cli/stdin_other.rs")]
mod stdin;
#[cfg(feature = "client")]
mod test;
pub(crate) mod usage;
#[cfg(feature = "client")]
mod wishes;

#[derive(Debug, Parser)]
#[command(
    name = "secrets-bridge",
    version,
    about = "Secrets for container builds, with every builder, leaving nothing behind",
    after_help = "\
Examples:
  secrets-bridge run --secret NPM_TOKEN -- docker build --build-arg FTP_PROXY -t app .   (on the host)
  RUN secrets-bridge exec -e NPM_TOKEN -- npm ci                                         (in the Dockerfile)

Exit codes: COMMAND's own; 1 `scan` found a secret; 125 a failure of ours, a leak included; 126 COMMAND cannot be executed; 127 COMMAND not found.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The bridge conf, a file that holds it, or - for standard input [default: $BRIDGE_CONF,
    /// /run/secrets/bridge_conf, $FTP_PROXY when it holds a conf, ~/.bridge-conf]
    #[cfg_attr(windows, doc = r"(on Windows C:\ProgramData\Docker\secrets\bridge_conf)")]
    // Taken raw, like every option that may carry a value of worth: clap repeats what it rejects.
    #[arg(short = 'c', long = "bridge-conf", value_name = "CONF|FILE|-", global = true)]
    conf: Option<OsString>,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say what is tried and how it goes; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Parses `arguments` (the first is the program's name) and runs the command. Returns its exit code.
///
/// # Errors
/// [`Failure`], which knows its own exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<u32, Failure> {
    let Some(cli) = parse(arguments)? else { return Ok(0) };
    #[cfg(feature = "host")]
    if let Command::Detached(pipe) = &cli.command {
        return detach::run(pipe); // it has the volume that the foreground half was asked for
    }
    talk::start(cli.global.volume());
    match cli.command {
        #[cfg(feature = "host")]
        Command::Serve(serve) => serve.run(),
        #[cfg(feature = "host")]
        Command::Run(run) => run.run(),
        #[cfg(feature = "host")]
        Command::Scan(scan) => scan.run(),
        #[cfg(feature = "host")]
        Command::Allow(allow) => allow.run(),
        #[cfg(feature = "host")]
        Command::Init(_) => init::run(),
        #[cfg(feature = "client")]
        Command::Exec(exec) => exec.run(cli.global.conf.as_deref()),
        #[cfg(feature = "client")]
        Command::Print(print) => print.run(cli.global.conf.as_deref()),
        #[cfg(feature = "client")]
        Command::Test(test) => test.run(cli.global.conf.as_deref()),
        #[cfg(feature = "client")]
        Command::Kill(kill) => kill.run(cli.global.conf.as_deref()),
        #[cfg(feature = "client")]
        Command::GitCredential(git_credential) => git_credential.run(),
        Command::Image(image) => image.run(),
        #[cfg(feature = "host")]
        Command::Detached(_) => Ok(0),
    }
}

/// `None` if help or the version was asked for, and printed.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    let parsed =
        Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed.map_err(|error| usage::explain(&error)) {
        Ok(cli) => Ok(Some(cli)),
        Err(usage::Asked::Wrongly(error)) => Err(error.into()),
        Err(usage::Asked::ForText(text)) => {
            talk::data(text.trim_end())?;
            Ok(None)
        }
    }
}

impl Global {
    fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (false, 0) => Volume::Normal,
            (false, 1) => Volume::Verbose,
            (false, _) => Volume::Everything,
        }
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON value.
    Json,
}

/// The runtime of one command: one thread is enough for all that a bridge or a build does.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the event loop", error))
}

/// Runs `future` to its end. What still runs then (a name that does not resolve) is not waited for.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
