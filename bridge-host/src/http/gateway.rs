//! The gateway of a bridge: what all its HTTP requests share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::http::RuledOrigin;
use tokio::sync::Semaphore;
use tracing::warn;

use super::credentials::HttpCredentials;
use super::pace::Pace;
use super::session::HttpSessions;
use super::upstream::proxy::HostProxies;
use crate::recorder::Recorder;

/// Batch calls of git LFS at once: each holds up to 5 MiB, its answer parsed besides.
const MAX_BATCHES: usize = 2;

/// What all HTTP requests of a bridge share.
pub(crate) struct Gateway {
    pub(super) credentials: HttpCredentials,
    /// The names of the rules, in their order.
    names: Vec<String>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) proxies: HostProxies,
    pub(super) pace: Pace,
    pub(super) batches: Semaphore,
    pub(super) sessions: HttpSessions,
    requests: AtomicU64,
    /// What the host's terminal has shown.
    shown: Mutex<BTreeSet<(Option<usize>, Notice)>>,
}

/// What the host's terminal shows once for each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// A request is not permitted.
    Refused,
    /// A request was permitted, and there is no answer of its server that can go on.
    Failed,
}

impl Gateway {
    pub(crate) fn new(credentials: HttpCredentials, recorder: Arc<Recorder>) -> Self {
        let names: Vec<String> = credentials.rules().iter().map(ToString::to_string).collect();
        for name in &names {
            recorder.count_http(name, |_| {});
        }
        Self {
            credentials,
            names,
            recorder,
            proxies: HostProxies::from_env(),
            pace: Pace::new(),
            batches: Semaphore::new(MAX_BATCHES),
            sessions: HttpSessions::new(),
            requests: AtomicU64::new(0),
            shown: Mutex::default(),
        }
    }

    /// The origins that have rules.
    pub(crate) fn origins(&self) -> Vec<RuledOrigin> {
        self.credentials.rules().origins()
    }

    /// Closes connections that were idle for too long. To be called every few seconds.
    pub(crate) fn close_old(&self) {
        self.sessions.close_old();
    }

    /// The number of the next request, from 1.
    pub(super) fn next_number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The name of a rule, as records and messages have it.
    pub(super) fn name(&self, rule: usize) -> Option<&str> {
        self.names.get(rule).map(String::as_str)
    }

    /// Shows on the host's terminal what happened under a rule for the first time.
    pub(super) fn notify(&self, rule: Option<usize>, notice: Notice, text: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.insert((rule, notice)) {
            drop(shown);
            warn!("HTTP: {text}");
        }
    }
}
