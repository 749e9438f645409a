//! Each defence that can be taken out, how, and the tests that must notice.
//!
//! Entries of one crate stand together: the next one then rebuilds little. What many crates depend on comes last.

mod agent;
mod build;
mod faults;
mod host;
mod http;
mod limits;
mod scan;
mod transport;

use crate::failure::{Result, failure};

/// A defence taken out.
pub(super) struct Mutation {
    /// The number of the promise in SECURITY.md.
    pub(super) promise: u8,
    pub(super) name: &'static str,
    /// What the changed code does.
    pub(super) what: &'static str,
    /// Several where one defence alone is doubled by another.
    pub(super) edits: &'static [Edit],
    /// Tests that must fail: of the target `main`, or, after `CRATE: `, unit tests of a crate.
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

/// All mutations.
pub(super) fn mutations() -> impl Iterator<Item = &'static Mutation> {
    [
        host::MUTATIONS,
        build::MUTATIONS,
        faults::MUTATIONS,
        limits::MUTATIONS,
        scan::MUTATIONS,
        agent::MUTATIONS,
        http::MUTATIONS,
        transport::MUTATIONS,
    ]
    .into_iter()
    .flatten()
}
