//! Files, links and variables on Unix.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::agent::Reader;

use super::{GitKey, SshSetup, SshToolsError};
use crate::git_keys::{self, GitKeys, Repository, SSH_PORT};
use crate::known_hosts;
use crate::private_dir::PrivateDir;
use crate::ssh_wrapper::{BIN, KNOWN_HOSTS, Programs, REMOTE_HELPER, SCHEME, TOOLS};

const MOST_GIT_KEYS: usize = 256;
const LONGEST_KEY: usize = 16 << 10;
/// Where programs are if `PATH` is not set: what shells take then, ours put in front.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) fn install(
    setup: &SshSetup,
    directory: &PrivateDir,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    install_in(setup, directory, &std::env::current_exe()?, |name| std::env::var_os(name))
}

fn install_in(
    setup: &SshSetup,
    directory: &PrivateDir,
    own_program: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    if setup.known_hosts.is_empty() && setup.git_keys.is_empty() {
        return Ok(Vec::new());
    }
    // Everything is parsed before anything is written.
    let known_hosts = known_hosts::file(&setup.known_hosts).map_err(SshToolsError::KnownHosts)?;
    let mut keys = GitKeys::default();
    let mut public_keys = Vec::new();
    for (index, key) in setup.git_keys.iter().enumerate() {
        let (repository, line) =
            parse(key).filter(|_| index < MOST_GIT_KEYS).ok_or(SshToolsError::GitKey(index + 1))?;
        let file = format!("key{index}.pub");
        keys.add(repository, file.clone());
        public_keys.push((file, line));
    }
    let mut variables = Vec::new();
    git_variables(&keys, &variable, &mut variables)?;

    if !known_hosts.is_empty() {
        directory.write(KNOWN_HOSTS, known_hosts.as_bytes())?;
    }
    for (file, line) in public_keys {
        directory.write(&file, line.as_bytes())?;
    }
    directory.write(git_keys::FILE, keys.to_text().as_bytes())?;
    let path = variable("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let bin = directory.path().join(BIN);
    links(&bin, own_program, &path)?;
    variables.push(("PATH".to_owned(), in_front(&bin, &path)?));
    Ok(variables)
}

/// The repository, and the line of its `.pub` file.
fn parse(key: &GitKey) -> Option<(Repository, String)> {
    let repository = Repository::new(&key.host, key.port.unwrap_or(SSH_PORT), &key.path)?;
    let kind = std::str::from_utf8(Reader::new(&key.key).string().ok()?).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.@".contains(&byte);
    let fits = key.key.len() <= LONGEST_KEY && (1..=64).contains(&kind.len()) && kind.bytes().all(plain);
    fits.then(|| (repository, format!("{kind} {}\n", STANDARD.encode(&key.key))))
}

/// Only programs that are there, so that whoever looks for ssh is not told that it is.
fn links(bin: &Path, own_program: &Path, path: &OsStr) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(bin)?;
    let programs = Programs::of(own_program)?;
    for name in TOOLS {
        if programs.real(name, path).is_some() {
            symlink(own_program, bin.join(name))?;
        }
    }
    symlink(own_program, bin.join(REMOTE_HELPER))
}

fn in_front(bin: &Path, path: &OsStr) -> io::Result<OsString> {
    let all = std::iter::once(PathBuf::from(bin)).chain(std::env::split_paths(path));
    std::env::join_paths(all).map_err(|_| io::ErrorKind::InvalidFilename.into())
}

/// Sends the HTTPS URLs of `keys` to our remote helper. Whatever else begins with one of them comes to it too (`insteadOf`
/// is a prefix), and it gives that back to HTTPS.
fn git_variables(
    keys: &GitKeys,
    variable: &impl Fn(&str) -> Option<OsString>,
    variables: &mut Vec<(String, OsString)>,
) -> Result<(), SshToolsError> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for url in keys.repositories().map(Repository::https) {
        let setting = (format!("url.{SCHEME}::{url}.insteadOf"), url);
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    if settings.is_empty() {
        return Ok(());
    }
    // Else git would not follow a submodule's URL to a helper that it does not know.
    settings.push((format!("protocol.{SCHEME}.allow"), "always".to_owned()));
    let mut count = match variable("GIT_CONFIG_COUNT") {
        // git takes an empty one for zero.
        Some(count) if !count.is_empty() => {
            count.to_str().and_then(|count| count.parse::<u16>().ok()).ok_or(SshToolsError::GitConfigCount)?
        }
        Some(_) | None => 0,
    };
    for (key, value) in settings {
        variables.push((format!("GIT_CONFIG_KEY_{count}"), key.into()));
        variables.push((format!("GIT_CONFIG_VALUE_{count}"), value.into()));
        count = count.checked_add(1).ok_or(SshToolsError::GitConfigCount)?;
    }
    variables.push(("GIT_CONFIG_COUNT".to_owned(), count.to_string().into()));
    // Where this is set it decides alone. What HTTPS may do, its helper may.
    if let Some(allowed) = variable("GIT_ALLOW_PROTOCOL").and_then(|allowed| allowed.into_string().ok())
        && allowed.split(':').any(|scheme| scheme == "https")
    {
        variables.push(("GIT_ALLOW_PROTOCOL".to_owned(), format!("{allowed}:{SCHEME}").into()));
    }
    Ok(())
}
