//! Configures ssh and git inside a build without touching `~/.ssh` or any configuration file: which servers are genuine, and
//! which deploy key is for which repository.
//!
//! On Unix, `bin/` in the private directory comes first in COMMAND's `PATH`. The names in it are links to this program, which
//! then acts as `ssh::wrapper`: it runs the real program with options in front.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use proto::agent::{GitKey, KnownHost};
use thiserror::Error;

use crate::exec::private_dir::PrivateDir;
use crate::git::config::GitConfigCount;

#[cfg_attr(unix, path = "tools/unix.rs")]
#[cfg_attr(windows, path = "tools/windows.rs")]
mod platform;

/// What the bridge sends along with an agent.
#[derive(Debug, Clone, Default)]
pub struct SshSetup {
    pub known_hosts: Vec<KnownHost>,
    /// Deploy keys, of which the agent has the private halves.
    pub git_keys: Vec<GitKey>,
}

/// Why ssh and git cannot be set up.
#[derive(Debug, Error)]
pub enum SshToolsError {
    /// The line number, from 1.
    #[error("invalid known_hosts entry from the bridge (line {0})")]
    KnownHosts(usize),
    /// The key's number in the bridge's list, from 1.
    #[error("invalid git key from the bridge (number {0})")]
    GitKey(usize),
    #[error(transparent)]
    GitConfig(#[from] GitConfigCount),
    #[error("cannot prepare ssh and git for COMMAND: {0}")]
    Io(#[from] io::Error),
}

/// Writes files into `directory`, and returns the environment variables for COMMAND; none if there is nothing to set up. The
/// links lead to `own_program`: [`std::env::current_exe`], except in tests.
///
/// # Errors
/// [`SshToolsError`].
pub fn install(
    setup: &SshSetup,
    directory: &PrivateDir,
    own_program: &Path,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    platform::install(setup, directory, own_program)
}

/// Lets every user who can reach `directory` read what [`install`] wrote there and run the links: nothing of it is secret.
/// Only the own user can change it.
pub(crate) fn share(directory: &PrivateDir) -> io::Result<()> {
    platform::share(directory)
}
