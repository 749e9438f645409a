//! The commands of a build: they fetch secrets from the bridge.

pub(crate) mod exec;
pub(crate) mod git_credential;
pub(crate) mod kill;
mod options;
pub(crate) mod print;
pub(crate) mod test;
