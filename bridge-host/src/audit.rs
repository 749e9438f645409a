//! The audit: one JSON object per line for each thing the bridge did for a client. `docs/AUDIT.md` lists the records
//! and their words, which are stable.
//!
//! The top level of a record holds what the bridge knows (it saw the address, it checked the key); `claimed` holds what
//! a client claims, unchecked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use proto::{Key, RefusalReason, SessionId, UpgradeRefusal, escape};
use serde::Serialize;

mod budget;
mod sink;

use budget::{Allowance, Budget, SumKey};
use sink::Sink;

/// Where audit records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    None,
    /// Standard error, between the messages.
    Stderr,
    /// Appended to this file, which is created private.
    File(PathBuf),
    /// Written to this FIFO, which a process reads.
    Fifo(PathBuf),
}

/// One record.
#[derive(Debug, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record<'a> {
    /// The bridge accepts connections.
    BridgeBegun { port: u16, keys: usize },
    /// The bridge accepts no more connections.
    BridgeEnded { why: &'a str },
    /// A session began, or a redial continues it. Written before the client gets an answer.
    SessionBegun { session: Shown<SessionId>, peer: SocketAddr, redial: bool },
    /// A connection of a session ended.
    SessionEnded { session: Shown<SessionId>, peer: SocketAddr, how: &'static str },
    /// An upgrade request was refused.
    SessionRefused { peer: SocketAddr, reason: &'static str },
    /// A client runs `test`. Written before it is answered.
    Tested { peer: SocketAddr },
    /// A client runs `kill`. Written before it is answered.
    Killed { peer: SocketAddr },
    /// A secret is about to be sent. Written before its first byte leaves.
    SecretRead {
        session: Shown<SessionId>,
        peer: SocketAddr,
        verdict: &'static str,
        key: &'a str,
        bytes: usize,
    },
    /// A request for a secret was refused.
    SecretRefused {
        session: Shown<SessionId>,
        peer: SocketAddr,
        verdict: &'static str,
        reason: &'static str,
        claimed: Claimed<'a>,
    },
    /// The sending of a secret ended.
    SecretSent {
        session: Shown<SessionId>,
        peer: SocketAddr,
        key: &'a str,
        /// `completed`: every byte was handed to the connection. `cut`: the connection ended before.
        outcome: &'static str,
        bytes: usize,
    },
    /// An agent's keys were listed.
    AgentListed {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<Shown<SessionId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        agent: &'a str,
        keys: usize,
    },
    /// A signature that policy permits. If it is granted, written before it is made. Requests at `--agent-socket` have
    /// no session and peer.
    AgentSignature {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<Shown<SessionId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        agent: &'a str,
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        key: &'a str,
        comment: String,
        /// The user that the signed data names.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        /// The host, proven by its signature over the session, or by its key in the signed data.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        /// The namespace of an SSHSIG.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    /// Policy refused an agent request.
    AgentRefused {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<Shown<SessionId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        agent: &'a str,
        verdict: &'static str,
        reason: &'static str,
        detail: String,
        /// The host that a session-bind proved before.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        claimed: AgentClaims<'a>,
    },
    /// An HTTP request. If it is granted, written before anything of it leaves the host, and followed by
    /// [`Self::HttpAnswered`].
    HttpRequest {
        session: Shown<SessionId>,
        peer: SocketAddr,
        /// Counts the requests of the bridge, from 1.
        request: u64,
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        /// The rule that permits it, or that was meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<&'a str>,
        /// What goes to the server, if it is granted.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        sent: Option<HttpTarget<'a>>,
        /// What a refused request was, as far as it could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        claimed: Option<HttpTarget<'a>>,
    },
    /// A granted HTTP request ended.
    HttpAnswered {
        session: Shown<SessionId>,
        peer: SocketAddr,
        /// The number of its [`Self::HttpRequest`].
        request: u64,
        rule: &'a str,
        /// Of the server's answer, if there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// `completed`: the tool got all of the answer. `cut`: a part of it. `failed`: an answer of ours instead.
        outcome: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        /// Bytes of the request's body that went to the server.
        sent: u64,
        /// Bytes of the answer's body that went to the tool.
        received: u64,
    },
    /// A limit took effect.
    LimitHit { peer: SocketAddr, limit: &'static str },
    /// How many connections failed before the client was proven, since the last such record.
    HandshakesRefused { count: u64, causes: &'a BTreeMap<&'static str, u64> },
    /// How many records were not written since the last such record, because clients caused too many: by kind and, after
    /// a slash, reason.
    RecordsSummed { count: u64, counts: &'a BTreeMap<String, u64> },
}

impl Record<'_> {
    /// What the record is counted by if clients cause too many; `None` if it is always written: whatever a client got,
    /// and what the bridge itself did.
    fn sum_key(&self) -> Option<SumKey> {
        match self {
            Self::BridgeBegun { .. }
            | Self::BridgeEnded { .. }
            | Self::Killed { .. }
            | Self::SecretRead { .. }
            | Self::SecretSent { .. }
            | Self::HttpAnswered { .. }
            | Self::HandshakesRefused { .. }
            | Self::RecordsSummed { .. } => None,
            Self::HttpRequest { verdict, reason, .. } => match (*verdict, *reason) {
                ("refused", Some(reason)) => Some(("http-request", reason)),
                _ => None,
            },
            // A signature that was granted, or was and then not made, has no reason to be counted by, and is permitted.
            Self::AgentSignature { verdict, reason, .. } => match (*verdict, *reason) {
                ("refused", Some(reason)) => Some(("agent-signature", reason)),
                _ => None,
            },
            Self::SessionBegun { .. } => Some(("session-begun", "")),
            Self::SessionEnded { how, .. } => Some(("session-ended", how)),
            Self::SessionRefused { reason, .. } => Some(("session-refused", reason)),
            Self::Tested { .. } => Some(("tested", "")),
            Self::SecretRefused { reason, .. } => Some(("secret-refused", reason)),
            Self::AgentListed { .. } => Some(("agent-listed", "")),
            Self::AgentRefused { reason, .. } => Some(("agent-refused", reason)),
            Self::LimitHit { limit, .. } => Some(("limit-hit", limit)),
        }
    }
}

/// What a client claims, unchecked.
#[derive(Debug, Serialize)]
pub(crate) struct Claimed<'a> {
    pub(crate) key: &'a str,
}

/// What a refused agent request claims, as far as it could be read; unchecked.
#[derive(Debug, Serialize)]
pub(crate) struct AgentClaims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<&'a str>,
}

/// What an HTTP request is for. Its texts are escaped.
#[derive(Debug, Serialize)]
pub(crate) struct HttpTarget<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'a str>,
    pub(crate) origin: &'a str,
    /// Without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<&'a str>,
}

/// Serializes a value as the escaped text of its `Display`.
#[derive(Debug)]
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0.to_string()))
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    record: &'a Record<'a>,
}

/// Writes records.
pub(crate) struct Audit {
    sink: Mutex<Sink>,
    budget: Mutex<Budget>,
}

impl Audit {
    /// Opens `target`.
    ///
    /// # Errors
    /// The system's, if the target cannot be opened for writing.
    pub(crate) fn open(target: &AuditTarget) -> io::Result<Self> {
        Ok(Self { sink: Mutex::new(Sink::open(target)?), budget: Mutex::new(Budget::new(Instant::now())) })
    }

    /// Writes one whole line, unbuffered; or counts the record, if it permits nothing and clients cause too many. Where
    /// the record permits something, a failure must forbid it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(&self, record: &Record<'_>) -> io::Result<()> {
        if matches!(*self.sink(), Sink::None) {
            return Ok(());
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut line = serde_json::to_vec(&Line { time, record }).map_err(io::Error::other)?;
        line.push(b'\n');
        if let Some(key) = record.sum_key() {
            let allowance = self.budget().take(key, line.len(), Instant::now());
            match allowance {
                Allowance::Write => {}
                Allowance::CountedFirst => {
                    tracing::warn!(
                        "clients cause too many audit records: those of refusals and sessions are summed from now on, those of \
                         reads, signatures and permitted requests are not (docs/AUDIT.md)"
                    );
                    return Ok(());
                }
                Allowance::Counted => return Ok(()),
            }
        }
        self.sink().write(&line)
    }

    /// Writes one record with the counts of those that were not written, if there were any. If that fails, they count
    /// for the next one.
    pub(crate) fn write_sums(&self) {
        let sums = self.budget().take_sums();
        if sums.is_empty() {
            return;
        }
        let named = |(&(kind, reason), &count): (&SumKey, &u64)| match reason {
            "" => (kind.to_owned(), count),
            reason => (format!("{kind}/{reason}"), count),
        };
        let counts = sums.iter().map(named).collect();
        let count = sums.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        if let Err(error) = self.write(&Record::RecordsSummed { count, counts: &counts }) {
            tracing::error!("cannot write an audit record: {error}");
            self.budget().put_back(sums);
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record of something that has happened already; a failure is logged.
    pub(crate) fn note(&self, record: &Record<'_>) {
        if let Err(error) = self.write(record) {
            tracing::error!("cannot write an audit record: {error}");
        }
    }
}

/// The word of a record for a refusal. It is stable, other than the message.
pub(crate) fn refusal_word(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Unknown => "unknown-key",
        RefusalReason::ReadLimit => "max-reads",
        RefusalReason::SourceFailed => "source-failed",
        RefusalReason::AuditFailed => "audit-failed",
    }
}

/// As [`refusal_word`], for an upgrade request.
pub(crate) fn upgrade_refusal_word(refusal: UpgradeRefusal) -> &'static str {
    match refusal {
        UpgradeRefusal::Malformed => "malformed",
        UpgradeRefusal::KillForbidden => "kill-forbidden",
        UpgradeRefusal::SessionEnded => "session-ended",
        UpgradeRefusal::NoStreams => "no-streams",
        UpgradeRefusal::SessionsUsedUp => "sessions-used-up",
        UpgradeRefusal::TooManyStreams => "too-many-streams",
        UpgradeRefusal::Busy => "busy",
        UpgradeRefusal::AuditFailed => "audit-failed",
    }
}

/// A secret that is being sent. When it is dropped, it writes the record of how the sending ended.
pub(crate) struct Sending<'a> {
    audit: &'a Audit,
    session: SessionId,
    peer: SocketAddr,
    key: Key,
    /// Bytes handed to the connection so far.
    pub(crate) bytes: usize,
    completed: bool,
}

impl<'a> Sending<'a> {
    /// Writes the record that must precede the first byte.
    ///
    /// # Errors
    /// The system's, if the record cannot be written: the secret must not be sent.
    pub(crate) fn permit(
        audit: &'a Audit,
        session: SessionId,
        peer: SocketAddr,
        key: Key,
        length: usize,
    ) -> io::Result<Self> {
        audit.write(&Record::SecretRead {
            session: Shown(session),
            peer,
            verdict: "granted",
            key: key.as_str(),
            bytes: length,
        })?;
        Ok(Self { audit, session, peer, key, bytes: 0, completed: false })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Records that every byte was handed to the connection.
    pub(crate) fn complete(mut self) {
        self.completed = true;
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.audit.note(&Record::SecretSent {
            session: Shown(self.session),
            peer: self.peer,
            key: self.key.as_str(),
            outcome: if self.completed { "completed" } else { "cut" },
            bytes: self.bytes,
        });
    }
}
