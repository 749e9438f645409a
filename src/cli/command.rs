//! An entry of the tables of commands.
//!
//! An entry names a command and says in one line what it does. The options are described only if the command runs, or
//! its help is asked for: describing those of all commands takes a tenth of the time in which a build fetches a secret.

use std::ffi::{OsStr, OsString};

use clap::{ArgMatches, Args};

use crate::cli::options::{ConfOption, GlobalOptions};
use crate::failure::Failure;
use crate::messages::Verbosity;
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

/// The background half of `serve -d`: it receives its command line from another process, and then sets up messages itself.
pub(crate) trait BackgroundCommand: Args {
    /// `parse` parses a command line. Returns the exit code.
    fn run(self, parse: Parse) -> Result<u32, Failure>;
}

/// Parses a command line; `None` if that asks for help or the version, which is then printed.
pub(crate) type Parse = fn(Vec<OsString>) -> Result<Option<Invocation>, Failure>;

/// A command line that clap has accepted.
pub(crate) struct Invocation(pub(super) ArgMatches);

impl Invocation {
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

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    about: &'static str,
    /// Called by programs, not by people: not in the list of commands.
    internal: bool,
    describe: fn(clap::Command) -> clap::Command,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    WithoutConf(fn(&ArgMatches) -> Result<u32, Failure>),
    WithConf(fn(&ArgMatches, Option<&OsStr>) -> Result<u32, Failure>),
    Background(fn(&ArgMatches, Parse) -> Result<u32, Failure>),
}

impl Entry {
    pub(crate) const fn new<C: Command>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            internal: false,
            describe: |command| GlobalOptions::augment_args(C::augment_args(command)),
            run: Run::WithoutConf(|matches| parsed::<C>(matches)?.run()),
        }
    }
    pub(crate) const fn with_conf<C: ConfCommand>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            internal: false,
            describe: |command| {
                GlobalOptions::augment_args(ConfOption::augment_args(C::augment_args(command)))
            },
            run: Run::WithConf(|matches, conf| parsed::<C>(matches)?.run(conf)),
        }
    }

    pub(crate) const fn background<C: BackgroundCommand>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            internal: true,
            describe: |command| GlobalOptions::augment_args(C::augment_args(command)),
            run: Run::Background(|matches, parse| parsed::<C>(matches)?.run(parse)),
        }
    }

    pub(crate) const fn internal(self) -> Self {
        Self { internal: true, ..self }
    }

    pub(crate) fn starts_messages(&self) -> bool {
        matches!(self.run, Run::Background(_))
    }

    pub(crate) fn describe(&self) -> clap::Command {
        clap::Command::new(self.name).about(self.about).hide(self.internal).defer(self.describe)
    }

    /// Runs the command with the options in `matches`. `conf` is the value of a `-c` before the command's name,
    /// `parse` is for [`BackgroundCommand`].
    pub(crate) fn run(
        &self,
        matches: &ArgMatches,
        conf: Option<OsString>,
        parse: Parse,
    ) -> Result<u32, Failure> {
        match self.run {
            Run::WithoutConf(_) if conf.is_some() => Err(UsageError::conf_not_used("-c").into()),
            Run::WithoutConf(run) => run(matches),
            Run::Background(run) => run(matches, parse),
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
