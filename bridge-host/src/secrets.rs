//! Secrets: where they come from, and what is kept of them.

pub(crate) mod command;
pub(crate) mod git_credential;
pub(crate) mod source;
pub(crate) mod store;
