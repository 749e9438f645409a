//! The audit: one JSON line for each thing the bridge did for a client.
//!
//! Whatever stands at the top level of a record is known to the bridge (it saw the address, it checked the key);
//! what a client merely says stands under `claimed`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use proto::{Key, RefusalReason, SessionId, UpgradeRefusal, escape};
use serde::Serialize;

use crate::private_file;

/// Where audit records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// Nowhere.
    None,
    /// Standard error, between the messages.
    Stderr,
    /// Appended to a file, which is created private.
    File(PathBuf),
}

/// One thing that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record<'a> {
    /// The bridge accepts connections.
    BridgeBegun { port: u16, keys: usize },
    /// The bridge accepts no more.
    BridgeEnded { why: &'a str },
    /// A session began, or a redial continues it.
    SessionBegun { session: Shown<SessionId>, peer: SocketAddr, redial: bool },
    /// A connection of a session ended.
    SessionEnded { session: Shown<SessionId>, peer: SocketAddr, how: &'a str },
    /// An upgrade request was refused.
    SessionRefused { peer: SocketAddr, reason: &'a str },
    /// `test` was answered.
    Tested { peer: SocketAddr },
    /// `kill` was answered.
    Killed { peer: SocketAddr },
    /// A secret is about to be sent. Written before its first byte is.
    SecretRead {
        session: Shown<SessionId>,
        peer: SocketAddr,
        verdict: &'static str,
        key: &'a str,
        bytes: usize,
    },
    /// A secret was asked for and not given.
    SecretRefused {
        session: Shown<SessionId>,
        peer: SocketAddr,
        verdict: &'static str,
        reason: &'static str,
        claimed: Claimed<'a>,
    },
    /// What became of a secret that was being sent.
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
    /// A signature that policy permits. Written before it is made, if it is granted. Without session and peer it was
    /// asked for at the socket of `--agent-socket`.
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
        /// In the data that is signed.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        /// Proven by its signature over the session, or by its key in the data that is signed.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        /// Of an SSHSIG.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    /// An agent request that policy refused.
    AgentRefused {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<Shown<SessionId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        agent: &'a str,
        verdict: &'static str,
        reason: &'static str,
        detail: String,
        /// To which the connection is bound, and it proved it.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        claimed: AgentClaims<'a>,
    },
    /// A limit took effect.
    LimitHit { peer: SocketAddr, limit: &'a str },
    /// Connections that never became a session, in sum since the last such record.
    HandshakesRefused { count: u64, causes: &'a BTreeMap<&'static str, u64> },
}

/// What a client says, and nobody checked.
#[derive(Debug, Serialize)]
pub(crate) struct Claimed<'a> {
    pub(crate) key: &'a str,
}

/// What an agent request says that was refused, as far as it was read.
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

/// Serializes as its `Display`.
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

/// Writes records. A record that cannot be written is an error that the caller must heed.
pub(crate) struct Audit(Mutex<Sink>);

enum Sink {
    None,
    Stderr,
    File(File),
}

impl Audit {
    /// Opens `target`.
    ///
    /// # Errors
    /// The system's, if the file cannot be opened for appending.
    pub(crate) fn open(target: &AuditTarget) -> io::Result<Self> {
        Ok(Self(Mutex::new(match target {
            AuditTarget::None => Sink::None,
            AuditTarget::Stderr => Sink::Stderr,
            AuditTarget::File(path) => Sink::File(private_file::append(path)?),
        })))
    }

    /// Writes one line, whole, and hands it to the system before it returns.
    pub(crate) fn write(&self, record: &Record<'_>) -> io::Result<()> {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*sink, Sink::None) {
            return Ok(());
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut line = serde_json::to_vec(&Line { time, record }).map_err(io::Error::other)?;
        line.push(b'\n');
        match &mut *sink {
            Sink::None => Ok(()),
            Sink::Stderr => io::stderr().write_all(&line),
            Sink::File(file) => file.write_all(&line),
        }
    }

    /// Writes a record of something that has happened and can no longer be refused; a failure is logged.
    pub(crate) fn note(&self, record: &Record<'_>) {
        if let Err(error) = self.write(record) {
            tracing::error!("an audit record could not be written: {error}");
        }
    }
}

/// Stable words for records; the messages for people may change.
pub(crate) fn refusal_word(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Unknown => "unknown-key",
        RefusalReason::ReadLimit => "max-reads",
        RefusalReason::SourceFailed => "source-failed",
        RefusalReason::AuditFailed => "audit-failed",
    }
}

/// As [`refusal_word`], for whole connections.
pub(crate) fn upgrade_refusal_word(refusal: UpgradeRefusal) -> &'static str {
    match refusal {
        UpgradeRefusal::Malformed => "malformed",
        UpgradeRefusal::KillForbidden => "kill-forbidden",
        UpgradeRefusal::SessionEnded => "session-ended",
        UpgradeRefusal::SessionsUsedUp => "sessions-used-up",
        UpgradeRefusal::Busy => "busy",
        UpgradeRefusal::AuditFailed => "audit-failed",
    }
}

/// A secret on its way to a client: whatever becomes of it is written down when this is dropped.
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
    /// Writes the record that permits the first byte to leave.
    ///
    /// # Errors
    /// The record could not be written: nothing may be sent.
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

    /// Which secret.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Every byte was handed to the connection.
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
