//! An entry of the tables of commands.
//!
//! An entry names a command and says in one line what it does. The options are described only if the command runs, or
//! its help is asked for: describing those of all commands takes a tenth of the time in which a build fetches a secret.

use std::ffi::{OsStr, OsString};

use clap::{ArgMatches, Args};

use crate::cli::{ConfOption, GlobalOptions};
use crate::failure::Failure;
use crate::usage::{self, UsageError};

/// A command that uses no bridge conf.
pub(crate) trait Command: Args {
    /// Returns the exit code.
    fn run(self) -> Result<u32, Failure>;
}

/// A command that dials the bridge of a conf, and has the option `-c`.
pub(crate) trait ConfCommand: Args {
    /// `conf` is the value of `-c`. Returns the exit code.
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure>;
}

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    about: &'static str,
    /// Called by programs, not by people: not in the list of commands.
    internal: bool,
    starts_messages: bool,
    describe: fn(clap::Command) -> clap::Command,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    WithoutConf(fn(&ArgMatches) -> Result<u32, Failure>),
    WithConf(fn(&ArgMatches, Option<&OsStr>) -> Result<u32, Failure>),
}

impl Entry {
    pub(crate) const fn new<C: Command>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            internal: false,
            starts_messages: false,
            describe: |command| GlobalOptions::augment_args(C::augment_args(command)),
            run: Run::WithoutConf(|matches| parsed::<C>(matches)?.run()),
        }
    }
    pub(crate) const fn with_conf<C: ConfCommand>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            internal: false,
            starts_messages: false,
            describe: |command| {
                GlobalOptions::augment_args(ConfOption::augment_args(C::augment_args(command)))
            },
            run: Run::WithConf(|matches, conf| parsed::<C>(matches)?.run(conf)),
        }
    }

    pub(crate) const fn internal(self) -> Self {
        Self { internal: true, ..self }
    }

    /// The command sets up messages itself, with options that it receives later.
    pub(crate) const fn starting_messages(self) -> Self {
        Self { starts_messages: true, ..self }
    }

    pub(crate) fn starts_messages(&self) -> bool {
        self.starts_messages
    }

    pub(crate) fn describe(&self) -> clap::Command {
        clap::Command::new(self.name).about(self.about).hide(self.internal).defer(self.describe)
    }

    /// Runs the command with the options in `matches`. `conf` is the value of a `-c` before the command's name.
    pub(crate) fn run(&self, matches: &ArgMatches, conf: Option<OsString>) -> Result<u32, Failure> {
        match self.run {
            Run::WithoutConf(_) if conf.is_some() => Err(UsageError::conf_not_used("-c").into()),
            Run::WithoutConf(run) => run(matches),
            Run::WithConf(run) => run(matches, parsed::<ConfOption>(matches)?.conf.or(conf).as_deref()),
        }
    }
}

/// The options `A` of an accepted command line.
///
/// # Errors
/// [`Failure::Usage`]: a value of the right form is not valid.
pub(crate) fn parsed<A: Args>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(|error| usage::error(&error).into())
}
