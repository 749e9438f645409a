//! A link needs a privilege on Windows, and programs there are found by other rules: nothing is put in front of ssh.

use std::ffi::OsString;
use std::path::Path;

use tracing::warn;

use super::{SshSetup, SshToolsError};
use crate::private_dir::PrivateDir;

pub(super) fn install(
    setup: &SshSetup,
    _directory: &PrivateDir,
    _own_program: &Path,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    if !(setup.known_hosts.is_empty() && setup.git_keys.is_empty()) {
        warn!("known hosts and git keys of the bridge are not used on Windows");
    }
    Ok(Vec::new())
}
