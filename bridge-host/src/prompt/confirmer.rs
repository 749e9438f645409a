//! Asks a person to confirm. Everything but a clear yes is a refusal.

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

use super::answer::Answer;
use super::code::Codes;
use super::methods::{Method, Methods};
use super::rate::QuestionRate;
use super::terminal::Terminal;
use super::{PromptError, askpass};

/// Time limit for an answer, from the moment when the question is shown.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Most questions at once, shown or waiting. Further ones are refused at once: a build must not flood the person.
const MAX_PENDING: usize = 16;
/// Most questions of a bridge in a minute. Further ones are refused at once.
const QUESTIONS_PER_MINUTE: usize = 20;

/// What the answers mean.
#[derive(Debug)]
pub(crate) struct Choices {
    /// What is allowed for longer than one signature: "each use of … until …".
    pub(crate) until_end: String,
}

/// The outcome of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Decision {
    /// For one signature.
    AllowedOnce,
    /// As [`Choices::until_end`] says.
    AllowedUntilEnd,
    /// The person gave any answer but these.
    Refused,
    TimedOut,
    /// There is no terminal in whose foreground this process is, and no program.
    NoMethod,
    /// The question was not asked: too many are open, or were asked in the last minute.
    TooMany,
}

/// Asks one question at a time. A bridge has one, because it has one person.
#[derive(Debug)]
pub(crate) struct Confirmer {
    methods: Methods,
    pending: Semaphore,
    turn: Mutex<()>,
    rate: QuestionRate,
    time_limit: Duration,
}

impl Confirmer {
    /// Asks by the methods that the environment allows now.
    pub(crate) fn new() -> Self {
        Self::with(Methods::from_environment(), TIME_LIMIT)
    }

    fn with(methods: Methods, time_limit: Duration) -> Self {
        Self {
            methods,
            pending: Semaphore::new(MAX_PENDING),
            turn: Mutex::new(()),
            rate: QuestionRate::per_minute(QUESTIONS_PER_MINUTE),
            time_limit,
        }
    }

    /// Asks `question`: lines that say who wants what, escaped by the caller. If the future is dropped, the question is
    /// withdrawn.
    pub(crate) async fn confirm(&self, question: &str, choices: &Choices) -> Decision {
        let Ok(_pending) = self.pending.try_acquire() else { return Decision::TooMany };
        if !self.rate.take(Instant::now()) {
            return Decision::TooMany;
        }
        let _turn = self.turn.lock().await;
        match tokio::time::timeout(self.time_limit, self.ask(question, choices)).await {
            Ok(Ok(Answer::Once)) => Decision::AllowedOnce,
            Ok(Ok(Answer::UntilEnd)) => Decision::AllowedUntilEnd,
            Ok(Ok(Answer::No) | Err(PromptError::Cancelled | PromptError::TooLong)) => Decision::Refused,
            Ok(Err(error)) => {
                tracing::warn!("cannot ask for a confirmation: {error}");
                Decision::NoMethod
            }
            Err(_) => Decision::TimedOut,
        }
    }

    async fn ask(&self, question: &str, choices: &Choices) -> Result<Answer, PromptError> {
        for method in self.methods.for_confirmations() {
            match method {
                Method::Askpass(program) => {
                    return askpass::confirm(program, &self.window_text(question, choices)).await;
                }
                Method::Terminal(device) => {
                    if let Some(terminal) = Terminal::open_for_answers(device) {
                        let codes = Codes::random().ok_or(PromptError::NoMethod)?;
                        return terminal
                            .confirm(&self.terminal_text(question, choices, &codes), &codes)
                            .await;
                    }
                }
            }
        }
        Err(PromptError::NoMethod)
    }

    /// A window has two buttons. Yes means what it meant since there are such windows: until the end.
    fn window_text(&self, question: &str, choices: &Choices) -> String {
        format!(
            "{question}\n\nYes allows {until_end}.\nAs text, \"once\" allows one signature.\nNo refuses {until_end}.\nWithout an \
             answer, it is refused after {}.",
            self.time_limit_text(),
            until_end = choices.until_end
        )
    }

    fn terminal_text(&self, question: &str, choices: &Choices, codes: &Codes) -> String {
        let rule = "-".repeat(40);
        format!(
            "\n{rule}\n{question}\n\nTo allow one signature, type the code {} and press Enter.\nTo allow {until_end}, type \
             the code {} and press Enter.\nAny other answer refuses {until_end}; no answer within {} refuses this signature.\ncode: ",
            codes.once.as_str(),
            codes.until_end.as_str(),
            self.time_limit_text(),
            until_end = choices.until_end
        )
    }

    fn time_limit_text(&self) -> String {
        humantime::format_duration(self.time_limit).to_string()
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

    fn choices() -> Choices {
        Choices { until_end: "each use until the end".to_owned() }
    }

    fn through(commands: &str, time_limit: Duration) -> Decision {
        let (_directory, program) = script(commands);
        block_on(Confirmer::with(Methods::only_askpass(program), time_limit).confirm("sign?", &choices()))
    }

    #[test]
    fn a_program_confirms_by_its_exit_code() {
        for (commands, decision) in [
            (
                "test \"$SSH_ASKPASS_PROMPT\" = confirm && case $1 in 'sign?'*) ;; *) false ;; esac",
                Decision::AllowedUntilEnd,
            ),
            ("echo YES", Decision::AllowedUntilEnd),
            ("echo once", Decision::AllowedOnce),
            ("echo once; exit 1", Decision::Refused),
            ("echo ONCE more", Decision::Refused),
            ("exit 1", Decision::Refused),
            ("echo yes; exit 1", Decision::Refused),
            ("echo no", Decision::Refused),
            ("kill -9 $$", Decision::Refused),
        ] {
            assert_eq!(through(commands, TIME_LIMIT), decision, "{commands}");
        }
    }

    #[test]
    fn without_a_method_the_outcome_says_so() {
        for methods in [Methods::none(), Methods::only_askpass("/nonexistent/askpass".into())] {
            assert_eq!(
                block_on(Confirmer::with(methods, TIME_LIMIT).confirm("sign?", &choices())),
                Decision::NoMethod
            );
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
    fn a_withdrawn_question_ends_the_program_and_descendants() {
        let (_directory, program, alive) = waiting_program();
        let choices = choices();
        let confirmer = Confirmer::with(Methods::only_askpass(program), TIME_LIMIT);
        block_on(async {
            let opening = tokio::task::spawn_blocking(|| std::fs::File::open(alive));
            let mut fifo = tokio::select! {
                decision = confirmer.confirm("sign?", &choices) => panic!("{decision:?}"),
                fifo = opening => fifo.unwrap().unwrap(),
            };
            std::io::Read::read_to_end(&mut fifo, &mut Vec::new()).unwrap();
        });
    }

    #[test]
    fn a_question_that_times_out_ends_the_program() {
        let (_directory, program, alive) = waiting_program();
        let confirmer = Confirmer::with(Methods::only_askpass(program), SHORT);
        block_on(async {
            let ended = tokio::task::spawn_blocking(|| std::fs::read(alive));
            assert_eq!(confirmer.confirm("sign?", &choices()).await, Decision::TimedOut);
            ended.await.unwrap().unwrap();
        });
    }

    #[test]
    fn questions_are_asked_one_by_one_and_a_flood_is_refused() {
        let (directory, program) = script(
            "mkdir \"${0%/*}/asking\" || exit 1; sleep 0.02; echo >>\"${0%/*}/asked\"; rmdir \"${0%/*}/asking\"",
        );
        let choices = choices();
        let confirmer = Confirmer::with(Methods::only_askpass(program), TIME_LIMIT);
        let decisions =
            block_on(futures_util::future::join_all((0..20).map(|_| confirmer.confirm("sign?", &choices))));
        let (asked, flood) = decisions.split_at(MAX_PENDING);
        assert!(asked.iter().all(|decision| *decision == Decision::AllowedUntilEnd), "{asked:?}");
        assert!(flood.iter().all(|decision| *decision == Decision::TooMany), "{flood:?}");
        assert_eq!(std::fs::read(directory.path().join("asked")).unwrap().len(), MAX_PENDING);
    }

    #[test]
    fn a_minute_has_a_limit_of_questions() {
        let (directory, program) = script("echo >>\"${0%/*}/asked\"");
        let confirmer = Confirmer::with(Methods::only_askpass(program), TIME_LIMIT);
        let decisions = block_on(async {
            let mut decisions = Vec::new();
            for _ in 0..QUESTIONS_PER_MINUTE + 2 {
                decisions.push(confirmer.confirm("sign?", &choices()).await);
            }
            decisions
        });
        assert_eq!(decisions[QUESTIONS_PER_MINUTE..], [Decision::TooMany; 2]);
        assert_eq!(std::fs::read(directory.path().join("asked")).unwrap().len(), QUESTIONS_PER_MINUTE);
    }

    /// Asks at a terminal; `answer` turns the two codes into what is typed.
    fn at_a_terminal(typed_before: &str, answer: fn(&[&str]) -> String) -> (Decision, String) {
        let mut pty = Pty::open();
        pty.types_and_sees(typed_before);
        let confirmer = Confirmer::with(Methods::only_terminal(pty.device.clone()), Duration::from_secs(20));
        let person = std::thread::spawn(move || {
            let question = pty.shown_until("\ncode: ");
            let text = question.replace("\r\n", " ");
            let codes: Vec<&str> = text.split("the code ").skip(1).map(|code| &code[..4]).collect();
            pty.types(answer(&codes).as_bytes());
            question + &pty.shown_until("refused|allowed")
        });
        let decision = block_on(confirmer.confirm("host: github.com\nuser: git", &choices()));
        (decision, person.join().unwrap())
    }

    #[test]
    fn the_code_allows_at_the_terminal() {
        let (decision, _) = at_a_terminal("", |codes| format!("{}\n", codes[1]));
        assert_eq!(decision, Decision::AllowedUntilEnd);
        let (decision, shown) = at_a_terminal("", |codes| format!("{}\n", codes[0].to_lowercase()));
        assert_eq!(decision, Decision::AllowedOnce);
        assert!(shown.contains("host: github.com\r\nuser: git\r\n"), "{shown}");
        assert!(shown.ends_with("allowed"), "{shown}");
    }

    #[test]
    fn anything_but_the_code_refuses() {
        let answers: [fn(&[&str]) -> String; 6] = [
            |_| "\n".into(),
            |_| "yes\n".into(),
            |codes| format!("{}X\n", codes[0]),
            |codes| format!("{} {}\n", codes[0], codes[1]),
            |codes| format!("\n{}\n", codes[0]),
            |_| "\x04".into(),
        ];
        for answer in answers {
            assert_eq!(at_a_terminal("", answer).0, Decision::Refused);
        }
    }

    #[test]
    fn text_typed_before_the_question_is_not_an_answer() {
        let (decision, _) = at_a_terminal("\ny\nhalf a li", |codes| format!("{}\n", codes[0]));
        assert_eq!(decision, Decision::AllowedOnce);
    }

    #[test]
    fn an_unfinished_answer_does_not_stay_in_the_terminal() {
        let mut pty = Pty::open();
        let confirmer = Confirmer::with(Methods::only_terminal(pty.device.clone()), Duration::from_secs(1));
        let person = std::thread::spawn(move || {
            pty.shown_until("\ncode: ");
            pty.types(b"half");
            pty.shown_until("no answer: refused");
            pty.types(b"next command\n");
            pty
        });
        assert_eq!(block_on(confirmer.confirm("sign?", &choices())), Decision::TimedOut);
        assert_eq!(person.join().unwrap().read_line(), "next command\n");
    }
}
