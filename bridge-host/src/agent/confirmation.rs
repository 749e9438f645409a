//! Asks a person before a key is used (`--ssh-confirm`), once per session for the same use.

use ssh_policy::Permitted;

use super::access::{AgentAccess, Requester};
use crate::prompt::Decision;

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
            Self::TooManyQuestions => "too many questions are pending at the host",
        }
    }
}

impl AgentAccess<'_> {
    /// Asks a person whether the signature may be made, unless none has to be asked or the same was permitted before.
    pub(crate) async fn confirm(&self, permitted: &Permitted) -> Result<(), Denial> {
        let Some(confirmer) = &self.agent.rules.confirmer else { return Ok(()) };
        if self.grants.has(permitted) {
            return Ok(());
        }
        match confirmer.confirm(&question(permitted, self.requester)).await {
            Decision::Allowed => {
                self.grants.add(permitted);
                Ok(())
            }
            Decision::Refused => Err(Denial::NotConfirmed),
            Decision::TimedOut => Err(Denial::ConfirmationTimedOut),
            Decision::NoMethod => Err(Denial::NoWayToAsk),
            Decision::TooManyPending => Err(Denial::TooManyQuestions),
        }
    }
}

/// The question whether `permitted` may be signed. It names what is proven, and says what is not.
fn question(permitted: &Permitted, requester: Requester) -> String {
    let host = match &permitted.host {
        Some(host) => host.as_str(),
        None => "not proven",
    };
    let what = match (&permitted.user, &permitted.namespace) {
        (_, Some(namespace)) => format!("sign:  data for {namespace} (SSHSIG)"),
        (Some(user), None) => format!("user:  {user}\nhost:  {host}"),
        (None, None) => format!("host:  {host}"),
    };
    format!(
        "Allow a build to use an SSH key, for the rest of its session?\nkey:   {} ({})\n{what}\nbuild: {requester}",
        permitted.fingerprint,
        permitted.comment()
    )
}
