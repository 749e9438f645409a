//! What is written down about an agent's requests, and told to the people at the host.

use std::io;

use proto::escape;
use ssh_policy::{Permitted, Refused};
use tracing::{info, warn};

use super::connection::{Asking, Who};
use crate::audit::{AgentClaims, Record, Shown};

/// So many refusals are shown at the host.
const TOLD: u64 = 100;

impl Asking<'_> {
    /// Keys were listed.
    pub(crate) fn note_listing(&self, keys: usize) {
        let (session, peer) = self.who.parts();
        let agent = self.agent.id.as_str();
        self.recorder.audit().note(&Record::AgentListed { session, peer, agent, keys });
    }

    /// A signature is about to be made. Nothing may be signed if this fails.
    pub(crate) fn note_permitted(&self, permitted: &Permitted) -> io::Result<()> {
        self.recorder.audit().write(&self.signature(permitted, "granted", None))
    }

    /// A signature that policy permits was refused all the same.
    pub(crate) fn note_denied(&self, permitted: &Permitted, word: &'static str, why: &str) {
        self.recorder.audit().note(&self.signature(permitted, "refused", Some(word)));
        self.count_and_tell(why);
    }

    /// The agent behind did not sign what was permitted.
    pub(crate) fn note_unsigned(&self, permitted: &Permitted, word: &'static str) {
        self.recorder.audit().note(&self.signature(permitted, "failed", Some(word)));
        self.recorder.count_refusal();
    }

    /// Policy refused.
    pub(crate) fn note_refused(&self, refused: &Refused) {
        let (session, peer) = self.who.parts();
        let claims = &refused.claimed;
        self.recorder.audit().note(&Record::AgentRefused {
            session,
            peer,
            agent: self.agent.id.as_str(),
            verdict: "refused",
            reason: refused.refusal.word(),
            detail: refused.refusal.to_string(),
            host: refused.host.as_deref(),
            claimed: AgentClaims {
                key: claims.fingerprint.as_deref(),
                comment: claims.comment.as_deref(),
                user: claims.user.as_deref(),
                namespace: claims.namespace.as_deref(),
            },
        });
        self.count_and_tell(&refused.refusal.to_string());
    }

    /// The audit has every refusal; the person at the host is not to be flooded.
    fn count_and_tell(&self, why: &str) {
        match self.recorder.count_refusal() {
            ..TOLD => warn!("SSH agent request refused: {why}"),
            TOLD => warn!("SSH agent request refused: {why}; further refusals are not shown here"),
            _ => {}
        }
    }

    /// A signature was made.
    pub(crate) fn tell_signed(&self, permitted: &Permitted) {
        self.recorder.count_signature();
        info!("signed with {} for {}", name(permitted), purpose(permitted));
    }

    fn signature<'r>(
        &'r self,
        permitted: &'r Permitted,
        verdict: &'static str,
        reason: Option<&'static str>,
    ) -> Record<'r> {
        let (session, peer) = self.who.parts();
        Record::AgentSignature {
            session,
            peer,
            agent: self.agent.id.as_str(),
            verdict,
            reason,
            key: &permitted.fingerprint,
            comment: escape(&String::from_utf8_lossy(&permitted.key.comment)),
            user: permitted.user.as_deref(),
            host: permitted.host.as_deref(),
            namespace: permitted.namespace.as_deref(),
        }
    }
}

impl Who {
    fn parts(self) -> (Option<Shown<proto::SessionId>>, Option<std::net::SocketAddr>) {
        match self {
            Self::Client { session, peer } => (Some(Shown(session)), Some(peer)),
            Self::Socket => (None, None),
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client { peer, .. } => write!(f, "{}", peer.ip()),
            Self::Socket => f.write_str("a process at --agent-socket"),
        }
    }
}

/// What a person is asked before `permitted` is signed for `who`. It names what is proven, and says what is not.
pub(crate) fn question(permitted: &Permitted, who: Who) -> String {
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
        "Permit a build to use an SSH key, for the rest of its session?\nkey:   {}\n{what}\nbuild: {who}",
        name(permitted)
    )
}

fn name(permitted: &Permitted) -> String {
    let comment = String::from_utf8_lossy(&permitted.key.comment);
    format!("{} ({})", permitted.fingerprint, escape(&comment))
}

fn purpose(permitted: &Permitted) -> String {
    let user = permitted.user.as_deref().unwrap_or_default();
    match (&permitted.namespace, &permitted.host) {
        (Some(namespace), _) => format!("data of namespace {namespace}"),
        (None, Some(host)) => format!("{user}@{host}"),
        (None, None) => format!("{user} at a host that is not proven"),
    }
}
