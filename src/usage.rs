//! What is wrong with a command line, without repeating values: they may be secrets.

use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum UsageError {
    /// An unknown command or option, a missing argument, options that exclude each other.
    #[error("{0}")]
    CommandLine(String),
    #[error("{}{option}: {problem}", if problem.starts_with("invalid ") { "" } else { "invalid " })]
    Option {
        /// As the user wrote it.
        option: &'static str,
        /// Does not contain the value.
        problem: String,
    },
}

impl UsageError {
    /// [`UsageError::Option`].
    pub(crate) fn option(option: &'static str, problem: impl ToString) -> Self {
        Self::Option { option, problem: problem.to_string() }
    }

    /// `option` is `-c` or its long form, and the command uses no bridge conf.
    pub(crate) fn conf_not_used(option: &str) -> Self {
        Self::CommandLine(format!("unexpected option {option}: this command uses no bridge conf"))
    }

    /// What is wrong, without the option's name: a project file has its own names.
    pub(crate) fn problem(&self) -> &str {
        match self {
            Self::Option { problem, .. } | Self::CommandLine(problem) => problem,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::CommandLine(_) => {
                Some("see `secrets-bridge --help`, or `secrets-bridge COMMAND --help`".to_owned())
            }
            Self::Option { .. } => None,
        }
    }
}

/// Why clap has accepted no command line.
pub(crate) enum Rejected {
    /// Help or the version was asked for.
    Text(String),
    Error(UsageError),
}

pub(crate) fn rejected(error: &clap::Error) -> Rejected {
    // clap's kinds are many and may grow; all others are errors.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Rejected::Text(error.render().to_string()),
        _ => Rejected::Error(self::error(error)),
    }
}

/// The error in clap's terms, without the values that clap would repeat.
// A kind that is not named here gets clap's general description.
#[allow(clippy::wildcard_enum_match_arm)]
pub(crate) fn error(error: &clap::Error) -> UsageError {
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // No argument was given, so there is none to repeat.
            let _ = write!(io::stderr(), "{}", error.render());
            "missing command".to_owned()
        }
        ErrorKind::InvalidSubcommand => match context(error, ContextKind::SuggestedSubcommand) {
            Some(suggested) => format!("unknown command; did you mean {suggested}?"),
            None => "unknown command".to_owned(),
        },
        ErrorKind::UnknownArgument => {
            let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
            match (option_name(&argument), context(error, ContextKind::SuggestedArg)) {
                (Some(name @ ("-c" | "--bridge-conf")), _) => return UsageError::conf_not_used(name),
                (Some(name), Some(suggested)) => format!("unknown option {name}; did you mean {suggested}?"),
                (Some(name), None) => format!("unknown option {name}"),
                (None, _) => "unexpected argument (not repeated here: it may be a secret)".to_owned(),
            }
        }
        ErrorKind::ArgumentConflict => {
            let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
            match context(error, ContextKind::PriorArg) {
                Some(prior) if prior == argument => format!("{argument} is given more than once"),
                Some(prior) => format!("{argument} cannot be used with {prior}"),
                None => format!("{argument} cannot be used with other options"),
            }
        }
        ErrorKind::MissingRequiredArgument => match context(error, ContextKind::InvalidArg) {
            // clap writes `<KEY>` and `<COMMAND>...`.
            Some(arguments) => format!("missing {}", arguments.replace(['<', '>'], "").replace("...", "")),
            None => "missing argument".to_owned(),
        },
        // No option has a list of values in clap's description, so only a missing value is an invalid one.
        ErrorKind::InvalidValue => match context(error, ContextKind::InvalidArg) {
            Some(argument) => format!("missing value of {argument}"),
            None => "missing value".to_owned(),
        },
        // In the other kinds the argument is one of ours, as the help names it.
        kind => match (kind.as_str(), context(error, ContextKind::InvalidArg)) {
            (Some(what), Some(argument)) => format!("{what}: {argument}"),
            (Some(what), None) => what.to_owned(),
            (None, _) => "invalid command line".to_owned(),
        },
    };
    UsageError::CommandLine(text)
}

// Other kinds of value cannot be part of a sentence.
#[allow(clippy::wildcard_enum_match_arm)]
fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// The name in `--name=value` or `-nVALUE`, if `argument` is an option at all.
fn option_name(argument: &str) -> Option<&str> {
    let name = if argument.starts_with("--") {
        argument.split('=').next()?
    } else {
        let end = argument.char_indices().nth(2).map_or(argument.len(), |(index, _)| index);
        argument.get(..end)?
    };
    Some(name).filter(|name| name.starts_with('-') && name.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_options_are_repeated() {
        assert_eq!(option_name("--secrt=hunter2"), Some("--secrt"));
        assert_eq!(option_name("-xhunter2"), Some("-x"));
        assert_eq!(option_name("hunter2"), None);
        assert_eq!(option_name("-"), None);
    }
}
