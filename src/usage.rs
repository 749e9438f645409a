//! What is wrong with a command line, told without repeating what may be a secret.

use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use thiserror::Error;

/// A command line that makes no sense.
#[derive(Debug, Error)]
pub(crate) enum UsageError {
    /// Not the commands and options that there are.
    #[error("{0}")]
    CommandLine(String),
    /// An option's value is not what it must be. The value is not repeated.
    #[error("{option}: {problem}")]
    Option {
        /// As the user wrote it.
        option: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl UsageError {
    /// For [`UsageError::Option`].
    pub(crate) fn option(option: &'static str, problem: impl ToString) -> Self {
        Self::Option { option, problem: problem.to_string() }
    }

    /// What is wrong, without the option's name: a project file has names of its own.
    #[cfg(feature = "host")]
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Option { problem, .. } => problem.clone(),
            Self::CommandLine(problem) => problem.clone(),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::CommandLine(_) => Some("`secrets-bridge --help`, or `--help` after a command".to_owned()),
            Self::Option { .. } => None,
        }
    }
}

/// What clap's "error" comes to.
pub(crate) enum Asked {
    /// Help or the version.
    ForText(String),
    /// Something that makes no sense.
    Wrongly(UsageError),
}

/// Says what was asked for or what is wrong, in clap's terms but without the values that clap would repeat.
// clap's kinds are many and may grow; what is not named gets its general description.
#[allow(clippy::wildcard_enum_match_arm)]
pub(crate) fn explain(error: &clap::Error) -> Asked {
    let text = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Asked::ForText(error.render().to_string());
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nothing was typed that could be repeated.
            let _ = write!(io::stderr(), "{}", error.render());
            "a command is missing".to_owned()
        }
        ErrorKind::InvalidSubcommand => match context(error, ContextKind::SuggestedSubcommand) {
            Some(suggested) => format!("there is no such command; did you mean {suggested}?"),
            None => "there is no such command".to_owned(),
        },
        ErrorKind::UnknownArgument => {
            let typed = context(error, ContextKind::InvalidArg).unwrap_or_default();
            match (option_name(&typed), context(error, ContextKind::SuggestedArg)) {
                (Some(name), Some(suggested)) => {
                    format!("there is no option {name}; did you mean {suggested}?")
                }
                (Some(name), None) => format!("there is no option {name}"),
                (None, _) => "an argument too many (not repeated here: it may be a secret)".to_owned(),
            }
        }
        // In the other kinds the argument is one of ours, as the help names it.
        kind => match (kind.as_str(), context(error, ContextKind::InvalidArg)) {
            (Some(what), Some(argument)) => format!("{what}: {argument}"),
            (Some(what), None) => what.to_owned(),
            (None, _) => "the command line makes no sense".to_owned(),
        },
    };
    Asked::Wrongly(UsageError::CommandLine(text))
}

// The other kinds of value are of no use in a sentence.
#[allow(clippy::wildcard_enum_match_arm)]
fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// The name in `--name=value` or `-nVALUE`, if `typed` is an option at all.
fn option_name(typed: &str) -> Option<&str> {
    let name = if typed.starts_with("--") {
        typed.split('=').next()?
    } else {
        typed.get(..typed.char_indices().nth(2).map_or(typed.len(), |(index, _)| index))?
    };
    Some(name).filter(|name| name.starts_with('-') && name.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_options_are_repeated() {
        assert_eq!(option_name("--secrt=hunter2"), Some("--secrt"));
        assert_eq!(option_name("-xhunter2"), Some("-x"));
        assert_eq!(option_name("hunter2"), None);
        assert_eq!(option_name("-"), None);
    }
}
