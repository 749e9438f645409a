//! Windows: git is configured by its environment, and nothing else is. There is no wrapper of ssh, because links need a
//! privilege on Windows, and programs are found by other rules. So only git knows the bridge's hosts, and no key is chosen for
//! a repository.
//!
//! The ssh of Git for Windows cannot open named pipes; git is made to use Microsoft's, which can.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::{SshSetup, SshToolsError};
use crate::exec::private_dir::PrivateDir;
use crate::ssh::known_hosts;

const KNOWN_HOSTS: &str = "known_hosts";
/// The system's own file, in Microsoft's spelling (sshd_config.5 of OpenSSH for Windows).
const SYSTEM_KNOWN_HOSTS: &str = "__PROGRAMDATA__/ssh/ssh_known_hosts";
/// Where Microsoft's OpenSSH may be: as a part of Windows, or installed from its own packages.
const SSH: [(&str, &str); 3] = [
    ("SystemRoot", r"System32\OpenSSH\ssh.exe"),
    ("ProgramFiles", r"OpenSSH\ssh.exe"),
    ("ProgramFiles", r"OpenSSH-Win64\ssh.exe"),
];

pub(super) fn install(
    setup: &SshSetup,
    directory: &PrivateDir,
    _own_program: &Path,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    let known_hosts = known_hosts::file_contents(&setup.known_hosts).map_err(SshToolsError::KnownHosts)?;
    if !setup.git_keys.is_empty() {
        warn!("on Windows no key is chosen for a repository: ssh tries the agent's keys in their order");
    }
    let options = if known_hosts.is_empty() {
        String::new()
    } else {
        let file = directory.write(KNOWN_HOSTS, known_hosts.as_bytes())?;
        let Some(file) = quotable(&file) else {
            warn!("the bridge's known hosts are not used: the path {} cannot be quoted", file.display());
            return Ok(Vec::new());
        };
        format!(
            " -o 'GlobalKnownHostsFile=\"{file}\" {SYSTEM_KNOWN_HOSTS}' -o StrictHostKeyChecking=yes -o UpdateHostKeys=no"
        )
    };
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let ssh = match (variable("GIT_SSH_COMMAND"), variable("GIT_SSH")) {
        (Some(own), _) => own,
        (None, Some(_)) => {
            warn!("GIT_SSH is set: git does not use the bridge's known hosts");
            return Ok(Vec::new());
        }
        (None, None) => match find_microsoft_ssh() {
            Some(ssh) => format!("'{ssh}'").into(),
            None => {
                debug!("Microsoft's OpenSSH was not found; git uses the ssh in PATH");
                "ssh".into()
            }
        },
    };
    if options.is_empty() && ssh == "ssh" {
        return Ok(Vec::new());
    }
    let mut command = ssh;
    command.push(options);
    Ok(vec![("GIT_SSH_COMMAND".to_owned(), command)])
}

fn find_microsoft_ssh() -> Option<String> {
    let places =
        SSH.iter().filter_map(|(root, path)| Some(PathBuf::from(std::env::var_os(root)?).join(path)));
    places.into_iter().find(|ssh| ssh.is_file()).and_then(|ssh| quotable(&ssh))
}

/// `path` as it can stand between quotes of either kind, for the shell in which git starts ssh; `None` if it cannot.
fn quotable(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('\\', "/");
    let is_plain = |c: char| !c.is_control() && !['\'', '"'].contains(&c);
    path.chars().all(is_plain).then_some(path)
}
/// Nothing to do: nothing is for another user.
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every system")]
pub(super) fn share(_directory: &PrivateDir) -> std::io::Result<()> {
    Ok(())
}
