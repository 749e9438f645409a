//! What a person has permitted, so that the same question is asked once in a session.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ssh_policy::Permitted;

/// Most grants that are remembered. Further uses are asked about each time.
const MAX_GRANTS: usize = 256;

/// What was permitted to one requester.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashSet<Grant>>);

/// One use of a key, by what is proven about it only: the key, the user and namespace in the data that is signed, and
/// the host, if it was proven.
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
    /// Whether the same use was permitted before.
    pub(crate) fn has(&self, permitted: &Permitted) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Grant::of(permitted))
    }

    /// Remembers a use that a person permitted.
    pub(crate) fn add(&self, permitted: &Permitted) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() < MAX_GRANTS {
            grants.insert(Grant::of(permitted));
        }
    }
}
