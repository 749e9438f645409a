//! The command line: global options, and the dispatch to one command of the tables in `host` and `client`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args};

use command::{Entry, Invocation, parsed};
use options::{ConfOption, GLOBAL_OPTIONS, GlobalOptions};

use crate::failure::Failure;
use crate::image::Image;
use crate::messages;
use crate::usage::{self, Rejected};

pub(crate) mod command;
pub(crate) mod options;

const NAME: &str = "secrets-bridge";
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

/// Parses `arguments` (the first is the program's name) and runs the command. Returns its exit code.
///
/// # Errors
/// [`Failure`], which knows its own exit code.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<u32, Failure> {
    let Some(invocation) = parse(arguments)? else { return Ok(0) };
    let Some((entry, matches)) = entry_of(&invocation) else { return Ok(0) };
    if !entry.starts_messages() {
        messages::start(invocation.verbosity()?);
    }
    entry.run(matches, parsed::<ConfOption>(&invocation.0)?.conf, parse)
}

/// `None` if help or the version was asked for, and printed.
fn parse(arguments: Vec<OsString>) -> Result<Option<Invocation>, Failure> {
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

fn entry_of(invocation: &Invocation) -> Option<(&'static Entry, &ArgMatches)> {
    let (name, matches) = invocation.0.subcommand()?;
    let entry = COMMANDS.iter().copied().flatten().find(|entry| entry.name == name)?;
    Some((entry, matches))
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
