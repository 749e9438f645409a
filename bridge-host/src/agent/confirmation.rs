//! Asks a person before a key is used (`--ssh-confirm`), once per session for the same use.

use ssh_policy::Permitted;

use super::access::{AgentAccess, Requester};
use crate::prompt::Decision;

/// Why a signature that policy permits is not made.
pub(crate) struct Denial {
    /// The audit's word for it.
    pub(crate) word: &'static str,
    /// The reason, for people.
    pub(crate) reason: &'static str,
}

impl AgentAccess<'_> {
    /// Asks a person whether the signature may be made, unless none has to be asked or the same was permitted before.
    pub(crate) async fn confirm(&self, permitted: &Permitted) -> Result<(), Denial> {
        let Some(confirmer) = &self.agent.rules.confirmer else { return Ok(()) };
        if self.grants.has(permitted) {
            return Ok(());
        }
        let (word, reason) = match confirmer.confirm(&question(permitted, self.requester)).await {
            Decision::Allowed => {
                self.grants.add(permitted);
                return Ok(());
            }
            Decision::Refused => ("not-confirmed", "denied by the person at the host"),
            Decision::TimedOut => ("confirmation-timed-out", "no answer from the person at the host"),
            Decision::NoWayToAsk => ("no-way-to-ask", "the host has no way to ask a person (--ssh-confirm)"),
            Decision::TooManyPending => ("too-many-questions", "too many questions are pending at the host"),
        };
        Err(Denial { word, reason })
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
