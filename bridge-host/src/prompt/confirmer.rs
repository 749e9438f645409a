//! May this be signed? Asks, and takes everything but a clear yes for a no.

use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};

use super::code::Code;
use super::methods::{Way, Ways};
use super::terminal::Terminal;
use super::{PromptError, askpass};

/// How long a question stands. It begins when the question is shown, not while others are before it.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Most questions that wait or are shown. A build that asks more floods the person, and learns that at once.
const MAX_PENDING: usize = 16;

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Decision {
    /// A person said yes.
    Allowed,
    /// A person said no, or something that is no yes.
    Refused,
    /// Nobody said anything.
    TimedOut,
    /// Nobody can be asked: no terminal, or not ours at the moment, and no program.
    NoWayToAsk,
    /// Too many questions wait already; nobody was asked.
    TooManyPending,
}

/// Asks one question after the other. There is one per bridge, since there is one person.
#[derive(Debug)]
pub struct Confirmer {
    ways: Ways,
    pending: Semaphore,
    turn: Mutex<()>,
    time_limit: Duration,
}

impl Confirmer {
    /// Asks in the ways that the environment names now.
    pub fn new() -> Self {
        Self::by(Ways::from_environment(), TIME_LIMIT)
    }

    fn by(ways: Ways, time_limit: Duration) -> Self {
        Self { ways, pending: Semaphore::new(MAX_PENDING), turn: Mutex::new(()), time_limit }
    }

    /// Asks `question`: lines that say who wants what, escaped by the caller. Dropped, the question is withdrawn.
    pub(crate) async fn confirm(&self, question: &str) -> Decision {
        let Ok(_pending) = self.pending.try_acquire() else { return Decision::TooManyPending };
        let _turn = self.turn.lock().await;
        match tokio::time::timeout(self.time_limit, self.ask(question)).await {
            Ok(Ok(true)) => Decision::Allowed,
            Ok(Ok(false) | Err(PromptError::Cancelled | PromptError::TooLong)) => Decision::Refused,
            Ok(Err(error)) => {
                tracing::warn!("nobody can be asked to confirm: {error}");
                Decision::NoWayToAsk
            }
            Err(_) => Decision::TimedOut,
        }
    }

    async fn ask(&self, question: &str) -> Result<bool, PromptError> {
        for way in self.ways.for_confirmations() {
            match way {
                Way::Askpass(program) => return askpass::confirm(program, &self.in_a_window(question)).await,
                Way::Terminal(device) => {
                    if let Some(terminal) = Terminal::open_for_answers(device) {
                        let code = Code::fresh().ok_or(PromptError::NoWayToAsk)?;
                        return terminal.confirm(&self.at_the_terminal(question, &code), &code).await;
                    }
                }
            }
        }
        Err(PromptError::NoWayToAsk)
    }

    fn in_a_window(&self, question: &str) -> String {
        format!("{question}\n\nAllow this? Without an answer it is refused after {}.", self.patience())
    }

    fn at_the_terminal(&self, question: &str, code: &Code) -> String {
        let rule = "-".repeat(40);
        format!(
            "\n{rule}\n{question}\n\nTo allow this once, type the code {} and Enter. Anything else refuses, and so does \
             no answer for {}.\ncode: ",
            code.as_str(),
            self.patience()
        )
    }

    fn patience(&self) -> String {
        humantime::format_duration(self.time_limit).to_string()
    }
}

impl Default for Confirmer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::prompt::askpass::tests::script;
    use crate::prompt::pty::Pty;

    const SHORT: Duration = Duration::from_millis(200);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn through(commands: &str, time_limit: Duration) -> Decision {
        let (_directory, program) = script(commands);
        block_on(Confirmer::by(Ways::only_askpass(program), time_limit).confirm("sign?"))
    }

    #[test]
    fn a_program_says_yes_by_its_exit_code() {
        for (commands, decision) in [
            (
                "test \"$SSH_ASKPASS_PROMPT\" = confirm && case $1 in 'sign?'*) ;; *) false ;; esac",
                Decision::Allowed,
            ),
            ("echo YES", Decision::Allowed),
            ("exit 1", Decision::Refused),
            ("echo yes; exit 1", Decision::Refused),
            ("echo no", Decision::Refused),
            ("kill -9 $$", Decision::Refused),
        ] {
            assert_eq!(through(commands, TIME_LIMIT), decision, "{commands}");
        }
    }

    #[test]
    fn without_a_program_or_a_terminal_the_answer_is_no() {
        for ways in [Ways::none(), Ways::only_askpass("/nonexistent/askpass".into())] {
            assert_eq!(block_on(Confirmer::by(ways, TIME_LIMIT).confirm("sign?")), Decision::NoWayToAsk);
        }
    }

    /// A program that waits, and a FIFO that ends when the program and all that it started have.
    fn waiting_program() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let (directory, program) = script("sleep 1000 3>\"${0%/*}/alive\"; true");
        let alive = directory.path().join("alive");
        rustix::fs::mknodat(rustix::fs::CWD, &alive, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        (directory, program, alive)
    }

    #[test]
    fn a_withdrawn_question_ends_the_program_and_what_it_started() {
        let (_directory, program, alive) = waiting_program();
        let confirmer = Confirmer::by(Ways::only_askpass(program), TIME_LIMIT);
        block_on(async {
            let opening = tokio::task::spawn_blocking(|| std::fs::File::open(alive));
            let mut fifo = tokio::select! {
                decision = confirmer.confirm("sign?") => panic!("{decision:?}"),
                fifo = opening => fifo.unwrap().unwrap(),
            };
            std::io::Read::read_to_end(&mut fifo, &mut Vec::new()).unwrap();
        });
    }

    #[test]
    fn a_question_that_stands_too_long_ends_the_program_too() {
        let (_directory, program, alive) = waiting_program();
        let confirmer = Confirmer::by(Ways::only_askpass(program), SHORT);
        block_on(async {
            let ended = tokio::task::spawn_blocking(|| std::fs::read(alive));
            assert_eq!(confirmer.confirm("sign?").await, Decision::TimedOut);
            ended.await.unwrap().unwrap();
        });
    }

    #[test]
    fn one_is_asked_at_a_time_and_a_flood_is_told_at_once() {
        let (directory, program) = script(
            "mkdir \"${0%/*}/asking\" || exit 1; sleep 0.02; echo >>\"${0%/*}/asked\"; rmdir \"${0%/*}/asking\"",
        );
        let confirmer = Confirmer::by(Ways::only_askpass(program), TIME_LIMIT);
        let decisions = block_on(futures_util::future::join_all((0..20).map(|_| confirmer.confirm("sign?"))));
        let (asked, flood) = decisions.split_at(MAX_PENDING);
        assert!(asked.iter().all(|decision| *decision == Decision::Allowed), "{asked:?}");
        assert!(flood.iter().all(|decision| *decision == Decision::TooManyPending), "{flood:?}");
        assert_eq!(std::fs::read(directory.path().join("asked")).unwrap().len(), MAX_PENDING);
    }

    /// Asks at a terminal; `answer` makes of the code what is typed.
    fn at_a_terminal(typed_before: &str, answer: fn(&str) -> String) -> (Decision, String) {
        let mut pty = Pty::open();
        pty.types_and_sees(typed_before);
        let confirmer = Confirmer::by(Ways::only_terminal(pty.device.clone()), Duration::from_secs(20));
        let person = std::thread::spawn(move || {
            let question = pty.shown_until("\ncode: ");
            let (_, code) = question.split_once("type the code ").unwrap();
            pty.types(answer(&code[..4]).as_bytes());
            question + &pty.shown_until("refused|allowed, once")
        });
        let decision = block_on(confirmer.confirm("host: github.com\nuser: git"));
        (decision, person.join().unwrap())
    }

    #[test]
    fn the_code_allows_at_the_terminal() {
        let (decision, shown) = at_a_terminal("", |code| format!("{}\n", code.to_lowercase()));
        assert_eq!(decision, Decision::Allowed);
        assert!(shown.contains("host: github.com\r\nuser: git\r\n"), "{shown}");
        assert!(shown.ends_with("allowed, once"), "{shown}");
    }

    #[test]
    fn anything_but_the_code_refuses() {
        let answers: [fn(&str) -> String; 4] =
            [|_| "\n".into(), |_| "yes\n".into(), |code| format!("{code}X\n"), |_| "\x04".into()];
        for answer in answers {
            assert_eq!(at_a_terminal("", answer).0, Decision::Refused);
        }
    }

    #[test]
    fn what_was_typed_before_is_no_answer() {
        let (decision, _) = at_a_terminal("\ny\nhalf a li", |code| format!("{code}\n"));
        assert_eq!(decision, Decision::Allowed);
    }

    #[test]
    fn nothing_of_a_question_without_answer_stays_in_the_terminal() {
        let mut pty = Pty::open();
        let confirmer = Confirmer::by(Ways::only_terminal(pty.device.clone()), Duration::from_secs(1));
        let person = std::thread::spawn(move || {
            pty.shown_until("\ncode: ");
            pty.types(b"half");
            pty.shown_until("no answer: refused");
            pty.types(b"next command\n");
            pty
        });
        assert_eq!(block_on(confirmer.confirm("sign?")), Decision::TimedOut);
        assert_eq!(person.join().unwrap().read_line(), "next command\n");
    }
}
