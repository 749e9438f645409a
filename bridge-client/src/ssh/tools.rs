//! What ssh and git need to know inside a build, without touching `~/.ssh` or any configuration: which servers are
//! genuine, and which deploy key opens which repository.
//!
//! `bin/` in the private directory comes first in COMMAND's `PATH`. The names in it lead to this program, which is
//! then `ssh::wrapper`: it calls the real one with options in front.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::exec::private_dir::PrivateDir;
use crate::git::config::GitConfigCount;

#[cfg_attr(unix, path = "tools/unix.rs")]
#[cfg_attr(windows, path = "tools/windows.rs")]
mod platform;

/// What the bridge says about SSH servers. Nothing in it is trusted before [`install`] has parsed it.
#[derive(Debug, Clone, Default)]
pub struct SshSetup {
    /// Lines of known_hosts, see sshd(8).
    pub known_hosts: Vec<String>,
    /// Deploy keys, of which the agent has the private halves.
    pub git_keys: Vec<GitKey>,
}

/// The key of one repository.
#[derive(Debug, Clone)]
pub struct GitKey {
    /// As it stands in a URL.
    pub host: String,
    /// Of ssh, if it is not the usual one.
    pub port: Option<u16>,
    /// `org/repo`.
    pub path: String,
    /// The public key, in SSH's encoding.
    pub key: Vec<u8>,
}

/// Why ssh and git cannot be set up.
#[derive(Debug, Error)]
pub enum SshToolsError {
    /// The bridge sent something else than a line of known_hosts.
    #[error("the bridge sent known hosts of which line {0} is not of the usual form")]
    KnownHosts(usize),
    /// The bridge sent a key whose server, repository or bytes are not of the usual form, or too many.
    #[error("the bridge sent git keys of which number {0} is not of the usual form")]
    GitKey(usize),
    /// The caller's environment is wrong, for git too.
    #[error(transparent)]
    GitConfig(#[from] GitConfigCount),
    /// The private directory cannot be filled.
    #[error("cannot prepare ssh and git for COMMAND: {0}")]
    Io(#[from] io::Error),
}

/// Fills `directory`, and returns the variables that COMMAND needs; none if there is nothing to set up. `own_program`
/// is what the names in it lead to: [`std::env::current_exe`] where this is not a test.
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
