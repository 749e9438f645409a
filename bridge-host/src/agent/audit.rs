//! What the audit and the log say about requests to an agent.

use std::io;
use std::net::SocketAddr;

use proto::SessionId;
use ssh_policy::{Permitted, Refused};
use tracing::{info, warn};

use super::access::{AgentAccess, Requester};
use super::confirmation::Denial;
use crate::audit::{AgentClaims, Record, Shown};

/// Why a signature that was granted was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// The agent, or the key, does not sign.
    Declined,
    /// The agent does not answer.
    Failed,
}

impl Unsigned {
    #[cfg(test)]
    const ALL: [Self; 2] = [Self::Declined, Self::Failed];

    fn word(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Failed => "failed",
        }
    }
}

impl AgentAccess<'_> {
    /// Records that `keys` keys were listed.
    pub(crate) fn record_listing(&self, keys: usize) {
        let (session, peer) = self.requester.parts();
        let agent = self.agent.id.as_str();
        self.recorder.audit().note(&Record::AgentListed { session, peer, agent, keys });
    }

    /// Records a signature before it is made.
    ///
    /// # Errors
    /// The system's. Without the record nothing may be signed.
    pub(crate) fn record_granted(&self, permitted: &Permitted) -> io::Result<()> {
        self.recorder.audit().write(&self.signature_record(permitted, "granted", None))
    }

    /// Records and logs that a signature was denied, although policy permits it.
    pub(crate) fn record_denied(&self, permitted: &Permitted, denial: Denial) {
        self.recorder.audit().note(&self.signature_record(permitted, "refused", Some(denial.word())));
        self.count_and_log(denial.reason());
    }

    /// Records that the host's agent did not make a signature that was granted.
    pub(crate) fn record_unsigned(&self, permitted: &Permitted, unsigned: Unsigned) {
        self.recorder.audit().note(&self.signature_record(permitted, "failed", Some(unsigned.word())));
        self.recorder.count_refusal();
    }

    /// Records and logs that policy refused a request.
    pub(crate) fn record_refused(&self, refused: &Refused) {
        let (session, peer) = self.requester.parts();
        let claims = &refused.claimed;
        self.recorder.audit().note(&Record::AgentRefused {
            session,
            peer,
            agent: self.agent.id.as_str(),
            verdict: "refused",
            reason: refused.refusal.word(),
            detail: refused.refusal.detail(),
            host: refused.host.as_deref(),
            claimed: AgentClaims {
                key: claims.fingerprint.as_deref(),
                comment: claims.comment.as_deref(),
                user: claims.user.as_deref(),
                namespace: claims.namespace.as_deref(),
            },
        });
        self.count_and_log(&refused.refusal.to_string());
    }

    /// Logs and counts a signature that was made.
    pub(crate) fn log_signature(&self, permitted: &Permitted) {
        self.recorder.count_signature();
        let fingerprint = &permitted.fingerprint;
        // The target keeps it from being left out of the log when others flood it.
        info!(target: "signature", "signed with {fingerprint} ({}) for {}", permitted.comment(), purpose(permitted));
    }

    fn count_and_log(&self, reason: &str) {
        self.recorder.count_refusal();
        warn!("SSH agent request refused: {reason}");
    }

    fn signature_record<'r>(
        &'r self,
        permitted: &'r Permitted,
        verdict: &'static str,
        reason: Option<&'static str>,
    ) -> Record<'r> {
        let (session, peer) = self.requester.parts();
        Record::AgentSignature {
            session,
            peer,
            agent: self.agent.id.as_str(),
            verdict,
            reason,
            key: &permitted.fingerprint,
            comment: permitted.comment(),
            user: permitted.user.as_deref(),
            host: permitted.host.as_deref(),
            namespace: permitted.namespace.as_deref(),
        }
    }
}

impl Requester {
    /// For the fields of a record, which has neither for a local process.
    fn parts(self) -> (Option<Shown<SessionId>>, Option<SocketAddr>) {
        match self {
            Self::Client { session, peer } => (Some(Shown(session)), Some(peer)),
            Self::LocalProcess => (None, None),
        }
    }
}

fn purpose(permitted: &Permitted) -> String {
    let user = permitted.user.as_deref().unwrap_or_default();
    match (&permitted.namespace, &permitted.host) {
        (Some(namespace), _) => format!("data of namespace {namespace}"),
        (None, Some(host)) => format!("{user}@{host}"),
        (None, None) => format!("{user} at an unproven host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_page_has_every_reason_of_agent_signature() {
        let page = include_str!("../../../docs/AUDIT.md");
        let (_, table) = page.split_once("`reason` of `agent-signature`:").unwrap();
        let (table, _) = table.split_once("`reason` of `agent-refused`:").unwrap();
        let denied = Denial::ALL.map(|denial| ("refused", denial.word()));
        let unsigned = Unsigned::ALL.map(|unsigned| ("failed", unsigned.word()));
        for (verdict, word) in denied.into_iter().chain(unsigned) {
            assert!(
                table.contains(&format!("| `{verdict}` | `{word}` |")),
                "docs/AUDIT.md does not have {word}"
            );
        }
    }
}
