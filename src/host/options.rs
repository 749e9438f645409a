//! Options that several commands of the host share.

pub(crate) mod agent;
pub(crate) mod bridge;
pub(crate) mod git_credential;
pub(crate) mod project;
pub(crate) mod secret;
