//! Questions to the person at the host: a passphrase when the bridge starts, a yes or no while it serves.
//!
//! Two ways lead to that person: the program in `SSH_ASKPASS`, and the terminal. `SSH_ASKPASS_REQUIRE` chooses, as for
//! ssh: `force` and `prefer` take the program, `never` the terminal. Otherwise a passphrase is asked for at the
//! terminal if there is one; a confirmation goes to the program, as ssh-agent's do, if there is a display for its
//! window: the terminal belongs to the build then, whose output can write over a question.

use std::io;

use proto::Secret;
use thiserror::Error;

mod askpass;
mod code;
mod confirmer;
mod methods;
#[cfg_attr(unix, path = "prompt/terminal/unix.rs")]
#[cfg_attr(windows, path = "prompt/terminal/windows.rs")]
mod terminal;

#[cfg(test)]
#[cfg(unix)]
mod pty;

pub use confirmer::Confirmer;
pub(crate) use confirmer::Decision;
use methods::{Way, Ways};
use terminal::Terminal;

/// Longest passphrase, in bytes; ssh has the same limit.
const MAX_PASSPHRASE: usize = 1024;

/// Why a question has no answer. Never carries what was typed.
#[derive(Debug, Error)]
pub enum PromptError {
    /// Neither a terminal, in whose foreground this process is, nor a program.
    #[error(
        "no terminal can be asked at (there is none, or the bridge is in its background), and SSH_ASKPASS names no \
         program"
    )]
    NoWayToAsk,
    /// The person does not want to answer.
    #[error("the question was cancelled")]
    Cancelled,
    /// More than a passphrase may have.
    #[error("the answer is longer than {MAX_PASSPHRASE} bytes")]
    TooLong,
    /// The program of `SSH_ASKPASS` cannot be started.
    #[error("the program in SSH_ASKPASS cannot be started: {0}")]
    Askpass(io::Error),
    /// The terminal failed.
    #[error("the terminal cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Asks for a passphrase, and waits for it: only for use before the bridge serves. `question` is one line, escaped.
///
/// # Errors
/// [`PromptError`].
pub(crate) fn passphrase(question: &str) -> Result<Secret, PromptError> {
    passphrase_by(&Ways::from_environment(), question)
}

fn passphrase_by(ways: &Ways, question: &str) -> Result<Secret, PromptError> {
    for way in ways.for_passphrases() {
        match way {
            Way::Askpass(program) => return askpass::passphrase(program, question),
            Way::Terminal(device) => {
                if let Some(terminal) = Terminal::open(device) {
                    return terminal.passphrase(question);
                }
            }
        }
    }
    Err(PromptError::NoWayToAsk)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::prompt::askpass::tests::script;

    #[test]
    fn a_program_answers_with_its_first_line() {
        let (_directory, program) = script("printf '%s\\nmore\\n' \"$1\"; test -z \"$SSH_ASKPASS_PROMPT\"");
        let passphrase = passphrase_by(&Ways::only_askpass(program), "Passphrase: ").unwrap();
        assert_eq!(passphrase.expose(), b"Passphrase: ");
    }

    #[test]
    fn a_program_that_fails_has_cancelled_and_one_that_is_not_there_says_so() {
        let (_directory, program) = script("echo half-typed; exit 1");
        let cancelled = passphrase_by(&Ways::only_askpass(program), "?");
        assert!(matches!(cancelled, Err(PromptError::Cancelled)), "{cancelled:?}");
        let missing = passphrase_by(&Ways::only_askpass("/nonexistent/askpass".into()), "?");
        assert!(matches!(missing, Err(PromptError::Askpass(_))), "{missing:?}");
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let (_directory, program) = script("exec yes | tr -d '\\n'");
        let answer = passphrase_by(&Ways::only_askpass(program), "?");
        assert!(matches!(answer, Err(PromptError::TooLong)), "{answer:?}");
    }

    #[test]
    fn with_no_way_nobody_is_asked() {
        assert!(matches!(passphrase_by(&Ways::none(), "?"), Err(PromptError::NoWayToAsk)));
    }
}
