//! Questions to the person at the host: for a passphrase when the bridge starts, and for confirmations while it serves.
//!
//! There are two methods: the program in `SSH_ASKPASS`, and the terminal. `SSH_ASKPASS_REQUIRE` chooses, as for ssh:
//! `force` and `prefer` select the program, `never` the terminal. Otherwise a passphrase is asked for at the terminal, if
//! there is one. A confirmation goes to the program, as those of ssh-agent do, if there is a display for its window: the
//! terminal then belongs to the build, whose output can overwrite a question.

use std::io;

use proto::Secret;
use thiserror::Error;

mod answer;
mod askpass;
mod code;
mod confirmer;
mod methods;
mod rate;
mod shown;
#[cfg_attr(unix, path = "prompt/terminal/unix.rs")]
#[cfg_attr(windows, path = "prompt/terminal/windows.rs")]
mod terminal;

#[cfg(test)]
#[cfg(unix)]
mod pty;

pub(crate) use confirmer::{Choices, Confirmer, Decision};
use methods::{Method, Methods};
pub(crate) use rate::QuestionRate;
pub(crate) use shown::{Spaces, quoted};
use terminal::Terminal;

/// Longest passphrase, in bytes; ssh has the same limit.
const MAX_PASSPHRASE: usize = 1024;

/// Why a question has no answer. Never contains what was typed.
#[derive(Debug, Error)]
pub enum PromptError {
    #[error("there is no terminal (or the bridge is in its background), and SSH_ASKPASS is not set")]
    NoMethod,
    #[error("the person cancelled the question")]
    Cancelled,
    #[error("the answer is longer than {MAX_PASSPHRASE} bytes")]
    TooLong,
    #[error("cannot start the program in SSH_ASKPASS: {0}")]
    Askpass(io::Error),
    #[error("cannot use the terminal: {0}")]
    Io(#[from] io::Error),
}

/// Asks for a passphrase, and blocks until there is an answer: only for use before the bridge serves. `question` is one
/// line, escaped.
///
/// # Errors
/// [`PromptError`].
pub(crate) fn passphrase(question: &str) -> Result<Secret, PromptError> {
    passphrase_by(&Methods::from_environment(), question)
}

fn passphrase_by(methods: &Methods, question: &str) -> Result<Secret, PromptError> {
    for method in methods.for_passphrases() {
        match method {
            Method::Askpass(program) => return askpass::passphrase(program, question),
            Method::Terminal(device) => {
                if let Some(terminal) = Terminal::open(device) {
                    return terminal.passphrase(question);
                }
            }
        }
    }
    Err(PromptError::NoMethod)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::prompt::askpass::tests::script;

    #[test]
    fn a_program_answers_with_its_first_line() {
        let (_directory, program) = script("printf '%s\\nmore\\n' \"$1\"; test -z \"$SSH_ASKPASS_PROMPT\"");
        let passphrase = passphrase_by(&Methods::only_askpass(program), "Passphrase: ").unwrap();
        assert_eq!(passphrase.expose(), b"Passphrase: ");
    }

    #[test]
    fn a_failed_program_cancels_and_a_missing_one_is_an_error() {
        let (_directory, program) = script("echo half-typed; exit 1");
        let cancelled = passphrase_by(&Methods::only_askpass(program), "?");
        assert!(matches!(cancelled, Err(PromptError::Cancelled)), "{cancelled:?}");
        let missing = passphrase_by(&Methods::only_askpass("/nonexistent/askpass".into()), "?");
        assert!(matches!(missing, Err(PromptError::Askpass(_))), "{missing:?}");
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let (_directory, program) = script("exec yes | tr -d '\\n'");
        let answer = passphrase_by(&Methods::only_askpass(program), "?");
        assert!(matches!(answer, Err(PromptError::TooLong)), "{answer:?}");
    }

    #[test]
    fn without_a_method_no_question_is_asked() {
        assert!(matches!(passphrase_by(&Methods::none(), "?"), Err(PromptError::NoMethod)));
    }
}
