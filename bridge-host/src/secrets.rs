//! The secrets of a bridge: their sources, and the store that serves them.

pub(crate) mod command;
mod empty_directory;
pub(crate) mod git_credential;
mod readers;
pub(crate) mod retries;
pub(crate) mod source;
pub(crate) mod store;
