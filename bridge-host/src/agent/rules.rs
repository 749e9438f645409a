//! What all agents of a bridge have in common: policy, confirmation, and the limit of signatures.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::agent::Repository;
use ssh_policy::{AgentPolicy, KeySelector};

use crate::prompt::Confirmer;

/// What all agents of a bridge have in common.
pub(crate) struct Rules {
    pub(crate) policy: AgentPolicy,
    pub(crate) confirmer: Option<Confirmer>,
    pub(crate) git_keys: Vec<(Repository, KeySelector)>,
    signatures_left: AtomicU64,
}

/// One signature of the limit, given back when this is dropped before [`Self::use_up`].
pub(crate) struct ReservedSignature<'a> {
    left: &'a AtomicU64,
    used: bool,
}

impl Rules {
    pub(crate) fn new(
        policy: AgentPolicy,
        confirm: bool,
        git_keys: Vec<(Repository, KeySelector)>,
        max_signatures: Option<u64>,
    ) -> Self {
        Self {
            policy,
            confirmer: confirm.then(Confirmer::new),
            git_keys,
            signatures_left: AtomicU64::new(max_signatures.unwrap_or(u64::MAX)),
        }
    }

    /// Takes one signature from the limit; `None` if none is left.
    pub(crate) fn reserve_signature(&self) -> Option<ReservedSignature<'_>> {
        let left = &self.signatures_left;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(ReservedSignature { left, used: false })
    }
}

impl ReservedSignature<'_> {
    /// The signature was made.
    pub(crate) fn use_up(mut self) {
        self.used = true;
    }
}

impl Drop for ReservedSignature<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}
