//! What git can be told by its environment. Nothing is put in front of ssh here: links need a privilege on Windows, and
//! programs there are found by other rules. So git alone knows the bridge's hosts, and no key is chosen for a repository.
//!
//! Git for Windows brings an ssh that cannot open named pipes; git is led to Microsoft's, which can.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::{SshSetup, SshToolsError};
use crate::exec::private_dir::PrivateDir;
use crate::ssh::known_hosts;

const KNOWN_HOSTS: &str = "known_hosts";
/// What is there anyway, in Microsoft's spelling (sshd_config.5 of OpenSSH for Windows).
const SYSTEM_KNOWN_HOSTS: &str = "__PROGRAMDATA__/ssh/ssh_known_hosts";
/// Where Microsoft's OpenSSH is: the part of Windows, and the packages of its own.
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
    let known_hosts = known_hosts::file(&setup.known_hosts).map_err(SshToolsError::KnownHosts)?;
    if !setup.git_keys.is_empty() {
        warn!(
            "on Windows git is not told which key opens which repository: ssh tries the agent's in their order"
        );
    }
    let options = if known_hosts.is_empty() {
        String::new()
    } else {
        let file = directory.write(KNOWN_HOSTS, known_hosts.as_bytes())?;
        let Some(file) = word(&file) else {
            warn!("known hosts of the bridge are not used: the path {} cannot be quoted", file.display());
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
            warn!("GIT_SSH is set and stays as it is: git does not learn the bridge's known hosts");
            return Ok(Vec::new());
        }
        (None, None) => match microsofts() {
            Some(ssh) => format!("'{ssh}'").into(),
            None => {
                debug!("Microsoft's OpenSSH is not here; git takes the ssh that it finds");
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

fn microsofts() -> Option<String> {
    let places =
        SSH.iter().filter_map(|(root, path)| Some(PathBuf::from(std::env::var_os(root)?).join(path)));
    places.into_iter().find(|ssh| ssh.is_file()).and_then(|ssh| word(&ssh))
}

/// A path for the shell in which git starts ssh, to stand between quotes of either kind; `None` if it cannot.
fn word(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('\\', "/");
    let is_plain = |c: char| !c.is_control() && !['\'', '"'].contains(&c);
    path.chars().all(is_plain).then_some(path)
}
