//! The commands of the host: they offer secrets and SSH agents to builds, and search images.

pub(crate) mod allow;
pub(crate) mod daemonize;
pub(crate) mod init;
mod options;
pub(crate) mod project_file;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod serve;
mod settings;
mod signals;
mod stdin;
