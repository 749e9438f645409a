//! What a person permitted, so that it is asked once in a session.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ssh_policy::Permitted;

/// Most different permissions that are remembered; after that each use is asked for again.
const MAX: usize = 256;

/// What was permitted to one asker. It keeps what was proven only: the key, the user and namespace in the data that is
/// signed, and the host if a bind proved it.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashSet<Grant>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Grant {
    key: Vec<u8>,
    user: Option<String>,
    host: Option<String>,
    namespace: Option<String>,
}

impl Grant {
    fn of(permitted: &Permitted) -> Self {
        Self {
            key: permitted.key.key.clone(),
            user: permitted.user.clone(),
            host: permitted.host.clone(),
            namespace: permitted.namespace.clone(),
        }
    }
}

impl Grants {
    /// Whether the same was permitted before.
    pub(crate) fn has(&self, permitted: &Permitted) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Grant::of(permitted))
    }

    /// Remembers it.
    pub(crate) fn add(&self, permitted: &Permitted) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() < MAX {
            grants.insert(Grant::of(permitted));
        }
    }
}
