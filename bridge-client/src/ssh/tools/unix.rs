//! Unix: links in `PATH`, files for them, and settings for git.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::agent::{GitKey, Reader};
use proto::escape;
use tracing::warn;

use super::{SshSetup, SshToolsError};
use crate::exec::private_dir::{self, PrivateDir};
use crate::git::config;
use crate::ssh::git_keys::{self, GitKeys, SshRepository};
use crate::ssh::known_hosts;
use crate::ssh::wrapper::{
    BIN, FOR_GIT, GIT_SSH, GIT_SSH_COMMAND, GIT_SSH_VARIANT, KNOWN_HOSTS, Programs, REMOTE_HELPER, SCHEME,
    SSH, TOOLS,
};

/// Longest name of a key type.
const MAX_KEY_TYPE: usize = 64;
/// The shell function in `GIT_SSH_COMMAND` that runs our ssh, and its call.
const FUNCTION: &str = "sb_ssh()";
const FUNCTION_CALL: &str = "sb_ssh";
/// What shells assume if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) fn install(
    setup: &SshSetup,
    directory: &PrivateDir,
    own_program: &Path,
) -> Result<Vec<(String, OsString)>, SshToolsError> {
    install_in(setup, directory, own_program, |name| std::env::var_os(name))
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
    // Everything is checked before anything is written.
    let known_hosts = known_hosts::file_contents(&setup.known_hosts).map_err(SshToolsError::KnownHosts)?;
    let mut keys = GitKeys::default();
    let mut public_keys = Vec::new();
    for (index, key) in setup.git_keys.iter().enumerate() {
        let line = public_key_line(key).ok_or(SshToolsError::GitKey(index + 1))?;
        let file = public_key_file(index);
        keys.add((&key.repository).into(), file.clone());
        public_keys.push((file, line));
    }
    let mut variables = Vec::new();
    configure_git(&keys, &variable, &mut variables)?;

    if !known_hosts.is_empty() {
        directory.write(KNOWN_HOSTS, known_hosts.as_bytes())?;
    }
    for (file, line) in public_keys {
        directory.write(&file, line.as_bytes())?;
    }
    directory.write(git_keys::FILE_NAME, keys.to_text().as_bytes())?;
    let path = variable("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let bin = directory.path().join(BIN);
    let has_ssh = create_links(&bin, own_program, &path)?;
    variables.push(("PATH".to_owned(), prepend(&bin, &path)?));
    if has_ssh {
        variables.extend(ssh_command(directory, own_program, &variable)?);
    }
    Ok(variables)
}

pub(super) fn share(directory: &PrivateDir) -> io::Result<()> {
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for entry in fs::read_dir(directory.path())? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if [BIN, FOR_GIT].contains(&name) {
            set(&path, 0o755)?;
        } else if [KNOWN_HOSTS, git_keys::FILE_NAME].contains(&name) || is_public_key(name) {
            set(&path, 0o644)?;
        }
    }
    Ok(())
}

fn public_key_file(index: usize) -> String {
    format!("key{index}.pub")
}

/// Whether [`public_key_file`] makes this name. The names of secrets begin with a number.
fn is_public_key(name: &str) -> bool {
    name.starts_with("key") && name.ends_with(".pub")
}

/// The contents of the key's `.pub` file; `None` if the name of the key type is invalid.
fn public_key_line(key: &GitKey) -> Option<String> {
    let kind = std::str::from_utf8(Reader::new(&key.key).string().ok()?).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.@".contains(&byte);
    let is_valid = (1..=MAX_KEY_TYPE).contains(&kind.len()) && kind.bytes().all(is_plain);
    is_valid.then(|| format!("{kind} {}\n", STANDARD.encode(&key.key)))
}

/// Creates links only for programs that are installed, so that a script that looks for ssh does not find our link alone.
///
/// Returns whether ssh is one of them.
fn create_links(bin: &Path, own_program: &Path, path: &OsStr) -> io::Result<bool> {
    let mut has_ssh = false;
    DirBuilder::new().mode(0o700).create(bin)?;
    // A umask may have taken away the owner's own bits.
    fs::set_permissions(bin, fs::Permissions::from_mode(0o700))?;
    let programs = Programs::new(own_program)?;
    for name in TOOLS {
        if programs.find_real(name, path).is_some() {
            symlink(own_program, bin.join(name))?;
            has_ssh |= name == SSH;
        }
    }
    symlink(own_program, bin.join(REMOTE_HELPER))?;
    Ok(has_ssh)
}

/// Names our ssh to git by its path: the profile of a login shell sets `PATH` anew, and then git would find only the system's.
/// A value that is set already stays, and so does git's `core.sshCommand`.
fn ssh_command(
    directory: &PrivateDir,
    own_program: &Path,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> io::Result<Vec<(String, OsString)>> {
    for name in [GIT_SSH_COMMAND, GIT_SSH] {
        let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
        match program_in(&value, name) {
            // Of another `exec` around this one.
            Some(program) if private_dir::is_in_private_dir(&program) => {}
            Some(program) if program == Path::new(FUNCTION) => {}
            Some(program) if program.components().count() > 1 => {
                warn!(
                    "{name} names {} by its path, so git over ssh does not use the host keys and deploy keys of the bridge: \
                     write ssh without a path, or unset {name}",
                    escape(&program.to_string_lossy())
                );
                return Ok(Vec::new());
            }
            Some(_) | None => return Ok(Vec::new()),
        }
    }
    if is_configured_by_variables(variable) {
        return Ok(Vec::new());
    }
    let links = directory.path().join(FOR_GIT);
    DirBuilder::new().mode(0o700).create(&links)?;
    fs::set_permissions(&links, fs::Permissions::from_mode(0o700))?;
    let link = links.join(SSH);
    symlink(own_program, &link)?;
    // A name that git knows, so that it does not ask the program which options it takes.
    let by_path = vec![(GIT_SSH_COMMAND.to_owned(), link.clone().into_os_string())];
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/sh").exists() {
        return Ok(by_path);
    }
    // COMMAND may give up root, and its user may not be able to enter the directory: then ssh is what it was without us.
    let Some(link) = link.to_str() else { return Ok(by_path) };
    let function =
        format!("{FUNCTION} {{ test -x {link} && exec {link} \"$@\"; exec ssh \"$@\"; }}; {FUNCTION_CALL}");
    let mut variables = vec![(GIT_SSH_COMMAND.to_owned(), function.into())];
    if variable(GIT_SSH_VARIANT).is_none_or(|value| value.is_empty()) {
        variables.push((GIT_SSH_VARIANT.to_owned(), SSH.into()));
    }
    Ok(variables)
}

/// Whether a variable sets `core.sshCommand`. git hides these variables from ssh, so that our ssh could not look it up.
fn is_configured_by_variables(variable: &impl Fn(&str) -> Option<OsString>) -> bool {
    const SETTING: &str = "core.sshcommand";
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().to_ascii_lowercase());
    let count = text("GIT_CONFIG_COUNT").and_then(|count| count.parse::<u16>().ok()).unwrap_or_default();
    (0..count).any(|number| text(&format!("GIT_CONFIG_KEY_{number}")).as_deref() == Some(SETTING))
        || text("GIT_CONFIG_PARAMETERS").is_some_and(|parameters| parameters.contains(SETTING))
}

/// The program that a variable of git names: `GIT_SSH` alone, `GIT_SSH_COMMAND` as the first word for a shell.
fn program_in(value: &OsStr, name: &str) -> Option<PathBuf> {
    if name == GIT_SSH {
        return Some(value.into());
    }
    let word = value.to_str()?.split_ascii_whitespace().next()?;
    Some(word.trim_matches(['\'', '"']).into())
}

fn prepend(bin: &Path, path: &OsStr) -> io::Result<OsString> {
    let all = std::iter::once(PathBuf::from(bin)).chain(std::env::split_paths(path));
    std::env::join_paths(all).map_err(|_| io::ErrorKind::InvalidFilename.into())
}

/// Redirects the HTTPS URLs of `keys` to our remote helper. Other URLs that begin with one of them reach it too (`insteadOf`
/// matches prefixes), and it passes those on to git's own helper for HTTPS.
fn configure_git(
    keys: &GitKeys,
    variable: &impl Fn(&str) -> Option<OsString>,
    variables: &mut Vec<(String, OsString)>,
) -> Result<(), SshToolsError> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for url in keys.repositories().map(SshRepository::https_url) {
        let setting = (format!("url.{SCHEME}::{url}.insteadOf"), url);
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    if settings.is_empty() {
        return Ok(());
    }
    // By default git does not use an unknown helper for the URL of a submodule.
    settings.push((format!("protocol.{SCHEME}.allow"), "always".to_owned()));
    config::append(settings, variables, variable)?;
    // If this is set it alone decides. Where HTTPS is allowed, our helper for it is.
    if let Some(allowed) = variable("GIT_ALLOW_PROTOCOL").and_then(|allowed| allowed.into_string().ok())
        && allowed.split(':').any(|scheme| scheme == "https")
    {
        variables.push(("GIT_ALLOW_PROTOCOL".to_owned(), format!("{allowed}:{SCHEME}").into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::agent::Writer;

    use super::*;

    fn key(path: &str) -> GitKey {
        let mut blob = Writer::inner();
        blob.string(b"ssh-ed25519").string(&[7]);
        GitKey { repository: format!("h/{path}").parse().unwrap(), key: blob.finish() }
    }

    fn install_with(
        setup: &SshSetup,
        directory: &PrivateDir,
        variables: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>, SshToolsError> {
        let own = std::env::current_exe().unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let variables = install_in(setup, directory, &own, variable)?;
        Ok(variables.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect())
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A directory that holds programs with these names.
    fn programs(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::TempDir::new().unwrap();
        for name in names {
            symlink("/bin/sh", directory.path().join(name)).unwrap();
        }
        directory
    }

    #[test]
    fn nothing_to_set_up_writes_nothing() {
        let directory = PrivateDir::create().unwrap();
        assert!(install_with(&SshSetup::default(), &directory, &[]).unwrap().is_empty());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn only_installed_programs_get_a_link() {
        let (directory, there) = (PrivateDir::create().unwrap(), programs(&["ssh"]));
        let path = there.path().to_str().unwrap();
        let setup =
            SshSetup { known_hosts: vec!["h ssh-ed25519 AAAA".parse().unwrap()], git_keys: Vec::new() };
        let variables = install_with(&setup, &directory, &[("PATH", path)]).unwrap();
        let bin = directory.path().join(BIN);
        assert_eq!(names(&bin), ["git-remote-sb", "ssh"]);
        let expected = format!("{}:{path}", bin.display());
        assert_eq!(variables.get("PATH"), Some(&expected));
        let for_git = directory.path().join("git/ssh").display().to_string();
        assert!(variables.get("GIT_SSH_COMMAND").is_some_and(|command| command.contains(&for_git)));
        assert_eq!(fs::read_to_string(directory.path().join(KNOWN_HOSTS)).unwrap(), "h ssh-ed25519 AAAA\n");
    }

    #[test]
    fn an_ssh_command_of_the_user_is_kept_and_that_of_an_exec_around_is_not() {
        let there = programs(&["ssh"]);
        let path = there.path().to_str().unwrap();
        let known_hosts = vec!["h ssh-ed25519 AAAA".parse().unwrap()];
        let setup = SshSetup { known_hosts, git_keys: Vec::new() };
        let set = |name: &str, value: &str| {
            let directory = PrivateDir::create().unwrap();
            let variables = install_with(&setup, &directory, &[("PATH", path), (name, value)]).unwrap();
            variables.contains_key("GIT_SSH_COMMAND")
        };
        for value in ["ssh", "ssh -i key", "/usr/bin/ssh", "'/usr/bin/ssh' -v"] {
            assert!(!set("GIT_SSH_COMMAND", value), "{value}");
            assert!(!set("GIT_SSH", value), "{value}");
        }
        let around = "/dev/shm/sb-0123456789abcdef/git/ssh";
        let function = format!("sb_ssh() {{ exec {around} \"$@\"; }}; sb_ssh");
        assert!(set("GIT_SSH_COMMAND", &function));
        assert!(set("GIT_SSH_COMMAND", around) && set("GIT_SSH_COMMAND", "") && set("OTHER", "ssh"));
        assert!(!set("GIT_SSH_COMMAND", "/dev/shm/sb-other/git/ssh"));
    }

    #[test]
    fn existing_git_configuration_is_kept() {
        let directory = PrivateDir::create().unwrap();
        let setup =
            SshSetup { git_keys: vec![key("org/a"), key("org/b"), key("org/b")], ..SshSetup::default() };
        let given = [("GIT_CONFIG_COUNT", "2"), ("PATH", ""), ("GIT_ALLOW_PROTOCOL", "https:ssh")];
        let variables = install_with(&setup, &directory, &given).unwrap();
        let wanted = [
            ("GIT_ALLOW_PROTOCOL", "https:ssh:sb"),
            ("GIT_CONFIG_COUNT", "5"),
            ("GIT_CONFIG_KEY_2", "url.sb::https://h/org/a.insteadOf"),
            ("GIT_CONFIG_VALUE_2", "https://h/org/a"),
            ("GIT_CONFIG_KEY_3", "url.sb::https://h/org/b.insteadOf"),
            ("GIT_CONFIG_VALUE_3", "https://h/org/b"),
            ("GIT_CONFIG_KEY_4", "protocol.sb.allow"),
            ("GIT_CONFIG_VALUE_4", "always"),
        ];
        for (name, value) in wanted {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(variables.len(), wanted.len() + 1);
        let line = fs::read_to_string(directory.path().join("key0.pub")).unwrap();
        assert_eq!(line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAQc=\n");
        assert_eq!(
            fs::read_to_string(directory.path().join("git_keys")).unwrap(),
            "h 22 org/a key0.pub\nh 22 org/b key1.pub\nh 22 org/b key2.pub\n"
        );
    }

    #[test]
    fn invalid_data_from_a_hostile_bridge_is_not_written() {
        let refused = |setup: &SshSetup, variables: &[(&str, &str)]| {
            let directory = PrivateDir::create().unwrap();
            let error = install_with(setup, &directory, variables).unwrap_err();
            assert!(names(directory.path()).is_empty());
            error
        };
        let good = key("org/a");
        let mut odd_kind = Writer::inner();
        odd_kind.string(b"ssh ed25519\n");
        for blob in [Vec::new(), vec![0, 0, 0, 9, 1], odd_kind.finish()] {
            let bad = GitKey { key: blob, ..good.clone() };
            let setup = SshSetup { git_keys: vec![good.clone(), bad], ..SshSetup::default() };
            assert!(matches!(refused(&setup, &[]), SshToolsError::GitKey(2)));
        }
        let known_hosts = vec!["h'h ssh-rsa A".parse().unwrap()];
        let setup = SshSetup { known_hosts, git_keys: vec![good.clone()] };
        assert!(matches!(refused(&setup, &[]), SshToolsError::KnownHosts(1)));
        let setup = SshSetup { git_keys: vec![good], ..SshSetup::default() };
        assert!(matches!(refused(&setup, &[("GIT_CONFIG_COUNT", "many")]), SshToolsError::GitConfig(_)));
    }
}
