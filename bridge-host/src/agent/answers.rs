//! What a person has answered to one requester, so that the same question is asked once in a session.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use ssh_policy::Permitted;
use tokio::sync::MutexGuard;

use crate::prompt::QuestionRate;

/// Most answers that are remembered. Further uses are asked about each time, at [`QUESTIONS_PER_MINUTE`].
const MAX_ANSWERS: usize = 256;
/// Most questions in a minute because of one requester. A login needs one, and more are more than a person reads.
const QUESTIONS_PER_MINUTE: usize = 10;

/// The answers to one requester: a session, or the processes at one `--agent-socket`.
#[derive(Debug)]
pub(crate) struct Answers {
    given: Mutex<HashMap<Use, Answer>>,
    rate: QuestionRate,
    /// Held while a question of this requester is open: connections that want the same wait for its answer.
    asking: tokio::sync::Mutex<()>,
}

/// An answer that holds until the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    Refused,
}

/// One use of a key, by what is proven about it only: a hash of the key, of the user and namespace in the data that is
/// signed, and of the host, if it was proven. A hash, because a client chooses how long a user name is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Use(Vec<u8>);

impl Default for Answers {
    fn default() -> Self {
        Self {
            given: Mutex::default(),
            rate: QuestionRate::per_minute(QUESTIONS_PER_MINUTE),
            asking: tokio::sync::Mutex::default(),
        }
    }
}

impl Use {
    fn of(permitted: &Permitted) -> Self {
        let mut context = Context::new(&SHA256);
        let fields = [permitted.user.as_deref(), permitted.host.as_deref(), permitted.namespace.as_deref()];
        for field in [Some(permitted.key.key.as_slice())]
            .into_iter()
            .chain(fields.map(|field| field.map(str::as_bytes)))
        {
            // With its length, so that no two uses have the same bytes.
            context.update(&[u8::from(field.is_some())]);
            context.update(&(field.unwrap_or_default().len() as u64).to_be_bytes());
            context.update(field.unwrap_or_default());
        }
        Self(context.finish().as_ref().to_vec())
    }
}

impl Answers {
    /// The answer that holds for this use.
    pub(crate) fn get(&self, permitted: &Permitted) -> Option<Answer> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).get(&Use::of(permitted)).copied()
    }

    pub(crate) fn remember(&self, permitted: &Permitted, answer: Answer) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() < MAX_ANSWERS {
            given.insert(Use::of(permitted), answer);
        }
    }

    /// The turn of this requester to ask, to be held while its question is open.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().await
    }

    /// Whether this requester may cause one more question now.
    pub(crate) fn may_ask(&self) -> bool {
        self.rate.take(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use proto::agent::Identity;

    use super::*;

    fn permitted(user: &str, host: Option<&str>) -> Permitted {
        Permitted {
            upstream: Vec::new(),
            data: Vec::new(),
            flags: 0,
            key: Identity { key: b"key".to_vec(), comment: Vec::new() },
            fingerprint: String::new(),
            user: Some(user.to_owned()),
            host: host.map(str::to_owned),
            namespace: None,
        }
    }

    #[test]
    fn an_answer_holds_for_its_use_only() {
        let answers = Answers::default();
        answers.remember(&permitted("git", Some("host")), Answer::Refused);
        answers.remember(&permitted("root", Some("host")), Answer::Allowed);
        assert_eq!(answers.get(&permitted("git", Some("host"))), Some(Answer::Refused));
        assert_eq!(answers.get(&permitted("root", Some("host"))), Some(Answer::Allowed));
        for other in [permitted("git", None), permitted("git", Some("")), permitted("githost", Some(""))] {
            assert_eq!(answers.get(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_full_memory_takes_no_more_answers() {
        let answers = Answers::default();
        for number in 0..=MAX_ANSWERS {
            answers.remember(&permitted(&number.to_string(), None), Answer::Allowed);
        }
        assert_eq!(answers.get(&permitted(&MAX_ANSWERS.to_string(), None)), None);
    }
}
