//! The known_hosts files of this host, read once, when the bridge starts.

use std::io;
use std::path::{Path, PathBuf};

use proto::escape;
use ssh_policy::{AllowedHostSpec, AllowedHosts, HostName, InvalidRevocation, KnownHosts, UnknownHost};
use thiserror::Error;

use crate::named_file::NamedFile;

/// Largest file that is read, in bytes: room for a hundred thousand hosts.
pub const MAX_KNOWN_HOSTS_FILE: u64 = 16 << 20;

/// Why the allowed hosts cannot be looked up.
#[derive(Debug, Error)]
pub enum KnownHostsError {
    /// No key is known for a host that the user allows.
    #[error(
        "no usable key of {name} is known (searched: {}): connect to it once with ssh, or write {name}=SHA256:… \
         with the fingerprint that its operator publishes",
        list(.files)
    )]
    UnknownHost {
        /// The host.
        name: HostName,
        /// The files that were searched; the usual ones may not exist.
        files: Vec<PathBuf>,
    },
    /// A file that the user named does not exist.
    #[error("there is no known_hosts file {}", shown(.0))]
    Missing(PathBuf),
    /// A file exists and cannot be read.
    #[error("cannot read {}: {source}", shown(.file))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is too large.
    #[error("{} is larger than {limit} bytes", shown(.file))]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// A revoked key cannot be read, so that it is not known which key must not be trusted.
    #[error("{}: {source}", shown(.file))]
    Revocation {
        /// The file.
        file: PathBuf,
        /// The line.
        source: InvalidRevocation,
    },
}

/// The keys of the hosts that the user allows, looked up in `files` or, if there are none, where OpenSSH looks.
///
/// # Errors
/// [`KnownHostsError`].
pub(crate) fn look_up(
    specs: &[AllowedHostSpec],
    files: &[NamedFile],
) -> Result<AllowedHosts, KnownHostsError> {
    let (files, absent) = match files {
        [] => {
            let usual = default_files(local_ipc::home_directory().as_deref());
            (usual.into_iter().map(NamedFile::typed).collect(), Absent::Empty)
        }
        named => (named.to_vec(), Absent::Error),
    };
    let known = read(&files, absent)?;
    AllowedHosts::resolve(specs, &known).map_err(|UnknownHost(name)| KnownHostsError::UnknownHost {
        name,
        files: files.iter().map(|file| file.path().to_owned()).collect(),
    })
}

/// Reads `files`, which the user named, where nothing has to be looked up.
///
/// # Errors
/// [`KnownHostsError`].
pub(crate) fn check(files: &[NamedFile]) -> Result<(), KnownHostsError> {
    read(files, Absent::Error).map(drop)
}

/// What a file that does not exist is.
#[derive(Clone, Copy)]
enum Absent {
    /// As good as an empty one, as in OpenSSH: the usual files need not exist.
    Empty,
    /// A mistake in the name.
    Error,
}

/// Where OpenSSH looks, for a user with this home directory.
fn default_files(home: Option<&Path>) -> Vec<PathBuf> {
    let of_user = home.map(|home| home.join(".ssh"));
    let of_all = if cfg!(windows) {
        std::env::var_os("ProgramData").map(|data| PathBuf::from(data).join("ssh"))
    } else {
        Some(PathBuf::from("/etc/ssh"))
    };
    let user = ["known_hosts", "known_hosts2"].iter().filter_map(|name| Some(of_user.as_ref()?.join(name)));
    let all =
        ["ssh_known_hosts", "ssh_known_hosts2"].iter().filter_map(|name| Some(of_all.as_ref()?.join(name)));
    user.chain(all).collect()
}

fn read(files: &[NamedFile], absent: Absent) -> Result<KnownHosts, KnownHostsError> {
    let mut known = KnownHosts::default();
    for file in files {
        let path = || file.path().to_owned();
        let unreadable = |source| KnownHostsError::Unreadable { file: path(), source };
        let bytes = match (file.read_if_exists(MAX_KNOWN_HOSTS_FILE).map_err(unreadable)?, absent) {
            (Some(bytes), _) => bytes,
            (None, Absent::Empty) => continue,
            // That it does not exist was shown, and approved.
            (None, Absent::Error) if file.is_approved_as_missing() => continue,
            (None, Absent::Error) => return Err(KnownHostsError::Missing(path())),
        };
        if bytes.len() as u64 > MAX_KNOWN_HOSTS_FILE {
            return Err(KnownHostsError::TooLarge { file: path(), limit: MAX_KNOWN_HOSTS_FILE });
        }
        known
            .add(&String::from_utf8_lossy(&bytes))
            .map_err(|source| KnownHostsError::Revocation { file: path(), source })?;
    }
    Ok(known)
}

fn shown(file: &Path) -> String {
    escape(&file.to_string_lossy())
}

fn list(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "no file".to_owned();
    }
    files.iter().map(|file| shown(file)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// github.com's key, as GitHub publishes it.
    const LINE: &str =
        "git.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn missing_and_large_files_are_refused_if_they_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let (missing, file) = (directory.path().join("missing"), directory.path().join("known_hosts"));
        std::fs::write(&file, LINE).unwrap();
        let specs = ["git.example".parse().unwrap()];
        let named = [NamedFile::typed(&missing), NamedFile::typed(&file)];
        for error in [look_up(&specs, &named).unwrap_err(), check(&named).unwrap_err()] {
            assert!(matches!(error, KnownHostsError::Missing(file) if file == missing));
        }
        let known = read(&named, Absent::Empty).unwrap();
        assert_eq!(AllowedHosts::resolve(&specs, &known).unwrap().known_hosts_lines(), [LINE]);
        std::fs::File::create(&file).unwrap().set_len(MAX_KNOWN_HOSTS_FILE + 1).unwrap();
        assert!(matches!(look_up(&specs, &[NamedFile::typed(file)]), Err(KnownHostsError::TooLarge { .. })));
        let result = look_up(&specs, &[NamedFile::typed(directory.path())]);
        assert!(matches!(result, Err(KnownHostsError::Unreadable { .. })));
    }

    #[test]
    fn an_unknown_host_is_an_error_that_names_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, "").unwrap();
        let error = look_up(&["git.example:2222".parse().unwrap()], &[NamedFile::typed(&file)]).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("no usable key of [git.example]:2222 is known"), "{error}");
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }

    #[test]
    fn an_unreadable_revocation_names_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, "\n@revoked * ssh-ed25519 AAAA\n").unwrap();
        let error = look_up(&[], &[NamedFile::typed(&file)]).unwrap_err().to_string();
        let expected = "invalid known_hosts entry (line 2): the revoked key cannot be read";
        assert_eq!(error, format!("{}: {expected}", file.display()));
    }
}
