//! Asks a person before a key is used (`--ssh-confirm`). The answer is for one signature, or for the same use until the session
//! ends; a no is for the same use until the session ends.

use ssh_policy::Permitted;

use super::access::{AgentAccess, Requester};
use super::answers::Answer;
use crate::prompt::{Choices, Decision, Spaces, quoted};

/// Why a signature that policy permits is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// `--ssh-max-signatures` is used up.
    SignatureLimit,
    NotConfirmed,
    ConfirmationTimedOut,
    /// No terminal, and no `SSH_ASKPASS`.
    NoWayToAsk,
    TooManyQuestions,
}

impl Denial {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [
        Self::SignatureLimit,
        Self::NotConfirmed,
        Self::ConfirmationTimedOut,
        Self::NoWayToAsk,
        Self::TooManyQuestions,
    ];

    /// The audit's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::SignatureLimit => "signature-limit",
            Self::NotConfirmed => "not-confirmed",
            Self::ConfirmationTimedOut => "confirmation-timed-out",
            Self::NoWayToAsk => "no-way-to-ask",
            Self::TooManyQuestions => "too-many-questions",
        }
    }

    /// The reason, for people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::SignatureLimit => "the limit of signatures is reached (--ssh-max-signatures)",
            Self::NotConfirmed => "denied by the person at the host",
            Self::ConfirmationTimedOut => "no answer from the person at the host",
            Self::NoWayToAsk => "the host has no way to ask a person (--ssh-confirm)",
            Self::TooManyQuestions => {
                "too many questions to the person at the host, open or in the last minute"
            }
        }
    }
}

impl AgentAccess<'_> {
    /// Asks a person whether the signature may be made, unless none has to be asked or the same was permitted before.
    pub(crate) async fn confirm(&self, permitted: &Permitted) -> Result<(), Denial> {
        let Some(confirmer) = &self.agent.rules.confirmer else { return Ok(()) };
        // Connections of one requester that want the same at once get one answer.
        let _turn = self.answers.turn().await;
        match self.answers.get(permitted) {
            Some(Answer::Allowed) => return Ok(()),
            Some(Answer::Refused) => return Err(Denial::NotConfirmed),
            None => {}
        }
        if !self.answers.may_ask() {
            return Err(Denial::TooManyQuestions);
        }
        match confirmer
            .confirm(&question(permitted, self.requester), &choices(permitted, self.requester))
            .await
        {
            Decision::AllowedOnce => Ok(()),
            Decision::AllowedUntilEnd => {
                self.answers.remember(permitted, Answer::Allowed);
                Ok(())
            }
            // Otherwise a build could ask until the person gives in.
            Decision::Refused => {
                self.answers.remember(permitted, Answer::Refused);
                Err(Denial::NotConfirmed)
            }
            Decision::TimedOut => Err(Denial::ConfirmationTimedOut),
            Decision::NoMethod => Err(Denial::NoWayToAsk),
            Decision::TooMany => Err(Denial::TooManyQuestions),
        }
    }
}

/// The question whether `permitted` may be signed. It names what is proven, and says what is not.
fn question(permitted: &Permitted, requester: Requester) -> String {
    let comment = quoted(&String::from_utf8_lossy(&permitted.key.comment), Spaces::Single);
    let mut lines = vec![
        "Allow a build to use an SSH key?".to_owned(),
        format!("key:     {}", permitted.fingerprint),
        format!("comment: {comment}"),
    ];
    let quoted = |text: &str| quoted(text, Spaces::Escaped);
    match (&permitted.user, &permitted.namespace) {
        (_, Some(namespace)) => {
            lines.push("sign:    data, not a login (SSHSIG)".to_owned());
            lines.push(format!("for:     {}", quoted(namespace)));
        }
        (user, None) => {
            lines.extend(user.as_ref().map(|user| format!("user:    {}", quoted(user))));
            let host = permitted.host.as_deref().map_or_else(|| "not proven".to_owned(), quoted);
            lines.push(format!("host:    {host}"));
        }
    }
    lines.push(format!("build:   {requester}"));
    lines.join("\n")
}

/// What the answers to the question mean.
fn choices(permitted: &Permitted, requester: Requester) -> Choices {
    let same = match (&permitted.user, &permitted.namespace) {
        (_, Some(_)) => "key and namespace",
        (Some(_), None) => "key, user and host",
        (None, None) => "key and host",
    };
    let end = match requester {
        Requester::Client { .. } => "this session ends",
        Requester::LocalProcess => "the bridge ends, for all processes at this socket",
    };
    Choices { until_end: format!("each use of this {same} until {end}") }
}

#[cfg(test)]
mod tests {
    use proto::SessionId;
    use proto::agent::Identity;

    use super::*;

    #[test]
    fn no_value_of_a_build_draws_a_line_of_the_question() {
        let hostile =
            format!("git{}host:    \"github.com\"\nhost:    \"github.com\"\u{202e}", " ".repeat(60));
        let permitted = |user: Option<&str>, namespace: Option<&str>| Permitted {
            upstream: Vec::new(),
            data: Vec::new(),
            flags: 0,
            key: Identity { key: Vec::new(), comment: hostile.clone().into_bytes() },
            fingerprint: format!("SHA256:{}", "x".repeat(43)),
            user: user.map(str::to_owned),
            host: None,
            namespace: namespace.map(str::to_owned),
        };
        let client = Requester::Client { session: SessionId([0xab; 16]), peer: ([192, 0, 2, 7], 1).into() };
        let shown = question(&permitted(Some(&hostile), None), client);
        let begins: Vec<&str> = shown.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(begins, ["Allow", "key:", "comment:", "user:", "host:", "build:"], "{shown}");
        assert!(shown.contains("\nhost:    not proven\nbuild:   192.0.2.7, session abababab"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let shown = question(&permitted(None, Some(&hostile)), Requester::LocalProcess);
        assert!(
            !shown.contains("host:    \"") && shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
    }

    #[test]
    fn the_choices_name_what_they_are_for() {
        let permitted = Permitted {
            upstream: Vec::new(),
            data: Vec::new(),
            flags: 0,
            key: Identity { key: Vec::new(), comment: Vec::new() },
            fingerprint: String::new(),
            user: Some("git".to_owned()),
            host: None,
            namespace: None,
        };
        let of = |requester| choices(&permitted, requester).until_end;
        let session = Requester::Client { session: SessionId([0; 16]), peer: ([192, 0, 2, 7], 1).into() };
        assert_eq!(of(session), "each use of this key, user and host until this session ends");
        assert!(
            of(Requester::LocalProcess).ends_with("until the bridge ends, for all processes at this socket")
        );
    }
}
