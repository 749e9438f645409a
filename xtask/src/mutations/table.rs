//! Each defence that can be taken out, how, and the tests that must notice.

use crate::failure::{Result, failure};

/// A defence taken out.
pub(super) struct Mutation {
    /// The number of the promise in SECURITY.md.
    pub(super) promise: u8,
    pub(super) name: &'static str,
    /// What the changed code does.
    pub(super) what: &'static str,
    pub(super) edits: &'static [Edit],
    /// Tests of the target `main` that must fail.
    pub(super) tests: &'static [&'static str],
}

/// A replacement in one file.
pub(super) struct Edit {
    pub(super) file: &'static str,
    /// Occurs once in the file.
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
}

impl Edit {
    /// `text` with the replacement.
    ///
    /// # Errors
    /// If what is to be replaced does not occur exactly once.
    pub(super) fn apply(&self, text: &str) -> Result<String> {
        match text.matches(self.find).count() {
            1 => Ok(text.replacen(self.find, self.replace, 1)),
            count => Err(failure!("{}: {:?} occurs {count} times", self.file, self.find)),
        }
    }
}

pub(super) const MUTATIONS: &[Mutation] = &[Mutation {
    promise: 2,
    name: "any-client-key",
    what: "the bridge accepts every client certificate",
    edits: &[Edit {
        file: "proto/src/tls.rs",
        find: "        known\n            .then(ClientCertVerified::assertion)",
        replace: "        (known || true)\n            .then(ClientCertVerified::assertion)",
    }],
    tests: &["transport::handshake::a_public_key_without_its_private_key_is_refused"],
}];
