//! The command line: global options, and the dispatch to one command of the tables in `host` and `client`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args};

use command::{Entry, parsed};

use crate::failure::Failure;
use crate::image::Image;
use crate::messages::{self, Verbosity};
use crate::usage::{self, Rejected};

pub(crate) mod command;

const NAME: &str = "secrets-bridge";
pub(crate) const CONNECTION: &str = "Connection";
const GLOBAL_OPTIONS: &str = "Global options";
/// Help is not wider than this, however wide the terminal is.
const MAX_HELP_WIDTH: usize = 110;

const EXAMPLES: &str = "\
Examples:
  On the host:
    secrets-bridge run --secret NPM_TOKEN -- \\
      docker build --build-arg FTP_PROXY -t app .
  In the Dockerfile:
    RUN secrets-bridge exec -e NPM_TOKEN -- npm ci

Exit codes:
  0      Success; `exec` and `run` exit with the code of COMMAND
  1      `scan` or `run --scan` found a secret
  125    secrets-bridge failed, or COMMAND wrote a secret into a file
  126    COMMAND cannot be executed
  127    COMMAND was not found
  128+N  Signal N ended COMMAND";

const COMMANDS: &[&[Entry]] = &[
    #[cfg(feature = "host")]
    crate::host::COMMANDS,
    #[cfg(feature = "client")]
    crate::client::COMMANDS,
    &[Entry::new::<Image>("image", "Write a container image of this binary, for COPY --from=secrets-bridge")],
];

// At the end of the help of every command. (A doc comment would become the help.)
#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL_OPTIONS)]
pub(crate) struct GlobalOptions {
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
    /// Print what is tried and how it goes; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Print help; -h for a summary
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

// Before the name of a command and, if the command dials a bridge, after it. (A doc comment would become the help.)
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct ConfOption {
    /// Bridge conf, a file that holds it, or - for standard input
    ///
    /// Default: the first of $BRIDGE_CONF, the file /run/secrets/bridge_conf, $FTP_PROXY if it holds a conf, and the
    /// file ~/.bridge-conf.
    #[cfg_attr(windows, doc = r"The file is C:\ProgramData\Docker\secrets\bridge_conf on Windows.")]
    // Not parsed by clap, like every option that may carry a secret: clap repeats the values that it rejects.
    #[arg(short = 'c', long = "bridge-conf", value_name = "CONF|FILE|-", display_order = 0)]
    pub(crate) conf: Option<OsString>,
}

/// Parses `arguments` (the first is the program's name) and runs the command. Returns its exit code.
///
/// # Errors
/// [`Failure`], which knows its own exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<u32, Failure> {
    let Some(invocation) = parse(arguments)? else { return Ok(0) };
    let Some((entry, matches)) = invocation.command() else { return Ok(0) };
    if !entry.starts_messages() {
        messages::start(invocation.verbosity()?);
    }
    entry.run(matches, parsed::<ConfOption>(&invocation.0)?.conf)
}

/// A command line that clap has accepted.
pub(crate) struct Invocation(ArgMatches);

/// `None` if help or the version was asked for, and printed.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Invocation>, Failure> {
    match program().try_get_matches_from(arguments) {
        Ok(matches) => Ok(Some(Invocation(matches))),
        Err(error) => match usage::rejected(&error) {
            Rejected::Text(text) => {
                messages::data(text.trim_end())?;
                Ok(None)
            }
            Rejected::Error(error) => Err(error.into()),
        },
    }
}

impl Invocation {
    fn command(&self) -> Option<(&'static Entry, &ArgMatches)> {
        let (name, matches) = self.0.subcommand()?;
        let entry = COMMANDS.iter().copied().flatten().find(|entry| entry.name == name)?;
        Some((entry, matches))
    }

    /// The options of the command `name`, if that is the one.
    pub(crate) fn options_of<A: Args>(&self, name: &str) -> Result<Option<A>, Failure> {
        self.0.subcommand_matches(name).map(parsed).transpose()
    }

    /// `-q` and `-v`, before and after the command's name.
    pub(crate) fn verbosity(&self) -> Result<Verbosity, Failure> {
        let before = parsed::<GlobalOptions>(&self.0)?;
        let after = match self.0.subcommand() {
            Some((_, matches)) => parsed::<GlobalOptions>(matches)?,
            None => GlobalOptions { quiet: false, verbose: 0, help: None },
        };
        Ok(match (before.quiet || after.quiet, before.verbose.saturating_add(after.verbose)) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Everything,
        })
    }
}

fn program() -> clap::Command {
    let version = Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .help("Print version")
        .help_heading(GLOBAL_OPTIONS);
    let program = clap::Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Give secrets and SSH agents to container builds, with every builder, leaving nothing behind")
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .max_term_width(MAX_HELP_WIDTH);
    // `-c` before the command's name is accepted, and shown where it belongs: in the help of the commands that take it.
    let program = ConfOption::augment_args(program).mut_arg("conf", |conf| conf.hide(true));
    let program = GlobalOptions::augment_args(program).arg(version);
    COMMANDS.iter().copied().flatten().fold(program, |program, entry| program.subcommand(entry.describe()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_all_commands_are_consistent() {
        program().debug_assert();
    }

    #[test]
    fn help_of_a_command_begins_with_its_line_in_the_list() {
        for command in program().get_subcommands() {
            let (name, about) = (command.get_name(), command.get_about().unwrap_or_default().to_string());
            let shown = program().try_get_matches_from([NAME, name, "--help"]).unwrap_err().to_string();
            assert!(shown.starts_with(&about), "{name}");
        }
    }
}
