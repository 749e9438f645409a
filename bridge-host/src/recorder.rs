//! Records what the bridge does: each event in the audit, and counts for the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::{Key, UpgradeRefusal};
use tracing::info;

use crate::audit::{Audit, Record, upgrade_refusal_word};

/// What a bridge did in its life.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// TCP connections from allowed addresses.
    pub connections: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Keys whose secrets were sent.
    pub keys: BTreeSet<Key>,
    /// Signatures made.
    pub signatures: u64,
    /// Requests for secrets and signatures, and upgrade requests, that were refused.
    pub refusals: u64,
    /// Connections that did not complete the handshake.
    pub handshakes_refused: u64,
    /// HTTP requests, by the name of their rule. Each rule is there from the start.
    pub http: BTreeMap<String, HttpCounts>,
}

/// The HTTP requests under one rule.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct HttpCounts {
    /// Requests that were permitted.
    pub requests: u64,
    /// Bytes of bodies, in both directions.
    pub bytes: u64,
    /// Requests that were refused. Those for which no rule was meant count for [`Summary::refusals`] alone.
    pub refused: u64,
}

/// The audit and the counters of one bridge.
pub(crate) struct Recorder {
    audit: Audit,
    summary: Mutex<Summary>,
    /// Refused handshakes since the last record of them, by cause: one record each would let a flood fill the disk.
    refused_handshakes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Recorder {
    pub(crate) fn new(audit: Audit) -> Self {
        Self { audit, summary: Mutex::default(), refused_handshakes: Mutex::default() }
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What the bridge did so far.
    pub(crate) fn summary(&self) -> Summary {
        self.counts().clone()
    }

    pub(crate) fn count_connections(&self, connections: u64) {
        self.counts().connections += connections;
    }

    pub(crate) fn count_session(&self) {
        self.counts().sessions += 1;
    }

    pub(crate) fn count_read(&self, key: Key) {
        self.counts().keys.insert(key);
    }

    pub(crate) fn count_signature(&self) {
        self.counts().signatures += 1;
    }

    pub(crate) fn count_refusal(&self) {
        self.counts().refusals += 1;
    }

    /// Adds to the counts of an HTTP rule.
    pub(crate) fn count_http(&self, rule: &str, add: impl FnOnce(&mut HttpCounts)) {
        let mut counts = self.counts();
        match counts.http.get_mut(rule) {
            Some(of_rule) => add(of_rule),
            None => add(counts.http.entry(rule.to_owned()).or_default()),
        }
    }

    /// Records that the upgrade request of a proven client was refused.
    pub(crate) fn refused_upgrade(&self, peer: SocketAddr, refusal: UpgradeRefusal) {
        info!("refused: {}", refusal.as_str());
        self.count_refusal();
        self.audit.note(&Record::SessionRefused { peer, reason: upgrade_refusal_word(refusal) });
    }

    /// Counts connections that were refused for this cause before their client was proven.
    pub(crate) fn refused_handshakes(&self, cause: &'static str, count: u64) {
        self.counts().handshakes_refused += count;
        *self.refused_by_cause().entry(cause).or_default() += count;
    }

    /// Writes the records of what is only counted since the last such records: refused handshakes, and records beyond the
    /// audit's budget.
    pub(crate) fn write_sums(&self) {
        self.audit.write_sums();
        let causes = std::mem::take(&mut *self.refused_by_cause());
        let count = causes.values().sum();
        if count > 0 {
            self.audit.note(&Record::HandshakesRefused { count, causes: &causes });
        }
    }

    fn counts(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused_by_cause(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.refused_handshakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
