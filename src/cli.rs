//! The command line: one file per command.

use std::ffi::OsString;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser};

use command::Command;

use crate::failure::Failure;
#[cfg(feature = "host")]
use crate::host::{daemonize, init};
use crate::messages::{self, Volume};
use crate::usage;

pub(crate) mod command;

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
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
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
        return daemonize::run(pipe); // it has the volume that the foreground half was asked for
    }
    messages::start(cli.global.volume());
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
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    let parsed =
        Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed.map_err(|error| usage::explain(&error)) {
        Ok(cli) => Ok(Some(cli)),
        Err(usage::Asked::Wrongly(error)) => Err(error.into()),
        Err(usage::Asked::ForText(text)) => {
            messages::data(text.trim_end())?;
            Ok(None)
        }
    }
}

impl Global {
    pub(crate) fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (false, 0) => Volume::Normal,
            (false, 1) => Volume::Verbose,
            (false, _) => Volume::Everything,
        }
    }
}
