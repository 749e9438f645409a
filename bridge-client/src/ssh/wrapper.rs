//! This program under another name: as `ssh`, `scp` and `sftp` in `bin/` of a private directory, and as the remote helper
//! that git runs for the HTTPS URLs of repositories with a deploy key.
//!
//! It runs once for each connection, inside COMMAND, and replaces itself with the real program (execve(2)). It reads the
//! private directory and writes nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::ssh::git_keys::{self, GitKeys};

mod arguments;
mod remote_helper;

use arguments::SshCall;

/// The directory of the links, in the private directory.
pub(crate) const BIN: &str = "bin";
/// The directory of the ssh that GIT_SSH_COMMAND names, in the private directory.
pub(crate) const FOR_GIT: &str = "git";
pub(crate) const SSH: &str = "ssh";
/// git's variable for the command that connects by ssh, for a shell; before `core.sshCommand`.
pub(crate) const GIT_SSH_COMMAND: &str = "GIT_SSH_COMMAND";
/// git's variable for which options the command takes.
pub(crate) const GIT_SSH_VARIANT: &str = "GIT_SSH_VARIANT";
/// git's older variable, for a program alone; after `core.sshCommand`.
pub(crate) const GIT_SSH: &str = "GIT_SSH";
/// The known_hosts file, in the private directory; absent if there are no known hosts.
pub(crate) const KNOWN_HOSTS: &str = "known_hosts";
/// Programs that are run with further options.
pub(crate) const TOOLS: [&str; 3] = [SSH, "scp", "sftp"];
/// The part before `::` in a URL for our remote helper; see gitremote-helpers(7).
pub(crate) const SCHEME: &str = "sb";
/// The name of the program that git runs for this scheme.
pub(crate) const REMOTE_HELPER: &str = "git-remote-sb";

/// Why the real program was not run.
#[derive(Debug, Error)]
pub enum WrapperError {
    /// The link outlived its directory, or a user made one by hand.
    #[error("started as {0}, but not from a directory of `secrets-bridge exec`")]
    NoDirectory(String),
    /// `PATH` has no other program of that name.
    #[error("{0} was not found")]
    NotFound(String),
    #[error("cannot execute {program}")]
    CannotExecute { program: String, source: io::Error },
    #[error("unexpected request of git to its remote helper: {0}")]
    RemoteHelper(&'static str),
    /// The private directory, or a pipe.
    #[error("cannot prepare ssh")]
    Io(#[from] io::Error),
}

impl WrapperError {
    /// 127 for a program that was not found and 126 for one that cannot be executed, as shells do; 125 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::CannotExecute { .. } => 126,
            Self::NoDirectory(_) | Self::RemoteHelper(_) | Self::Io(_) => 125,
        }
    }
}

/// If the first of `arguments`, the name under which this program was started, is one of the links in a private directory,
/// runs the program that it stands for. Returns `None` for any other name, and otherwise only on failure, or if git asked the
/// remote helper for nothing.
pub fn run_by_program_name(arguments: &[OsString]) -> Option<Result<u32, WrapperError>> {
    let (typed, arguments) = arguments.split_first()?;
    let name = Path::new(typed).file_name()?.to_str()?;
    if name == REMOTE_HELPER {
        return Some(Wrapper::find(typed, name).and_then(|wrapper| remote_helper::run(&wrapper, arguments)));
    }
    TOOLS.contains(&name).then(|| {
        let command = Wrapper::find(typed, name).and_then(|wrapper| match wrapper.configured_ssh() {
            Some(configured) if wrapper.is_for_git => Ok(shell(&configured, arguments)),
            Some(_) | None => wrapper.command(name, arguments),
        });
        Err(command.map_or_else(|error| error, |mut command| exec_replace(&mut command)))
    })
}

/// `script`, a command line as git has it in its configuration, with `arguments`.
fn shell(script: &OsStr, arguments: &[OsString]) -> Command {
    let mut script = script.to_owned();
    script.push(OsStr::new(" \"$@\""));
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(SSH).args(arguments);
    command
}

/// Replaces this process with `command`. Returns only on failure.
fn exec_replace(command: &mut Command) -> WrapperError {
    let source = command.exec();
    let program = command.get_program().to_string_lossy().into_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return WrapperError::NotFound(program);
    }
    WrapperError::CannotExecute { program, source }
}

/// The private directory, found by the link that was started.
struct Wrapper {
    directory: PathBuf,
    keys: GitKeys,
    programs: Programs,
    path: OsString,
    /// Started by the name that only GIT_SSH_COMMAND has.
    is_for_git: bool,
}

impl Wrapper {
    fn find(typed: &OsStr, name: &str) -> Result<Self, WrapperError> {
        let programs = Programs::new(&std::env::current_exe()?)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let link = if Path::new(typed).parent().is_some_and(|parent| parent != Path::new("")) {
            Some(PathBuf::from(typed))
        } else {
            programs.find_link(name, &path)
        };
        let link = link.as_deref().and_then(|link| std::path::absolute(link).ok());
        let links = link.as_deref().and_then(Path::parent);
        let is_for_git = links.and_then(Path::file_name) == Some(FOR_GIT.as_ref());
        let directory = links.and_then(Path::parent);
        let directory = directory.filter(|directory| directory.join(git_keys::FILE_NAME).is_file());
        let directory = directory.ok_or_else(|| WrapperError::NoDirectory(name.to_owned()))?.to_owned();
        Ok(Self { keys: GitKeys::read(&directory)?, directory, programs, path, is_for_git })
    }

    /// git's `core.sshCommand`, which `GIT_SSH_COMMAND` hides. It is looked up where git connects: a repository may have its
    /// own.
    fn configured_ssh(&self) -> Option<OsString> {
        if !self.is_for_git {
            return None;
        }
        let git = self.programs.find_real("git", &self.path)?;
        let mut git = Command::new(git);
        let found = git.args(["config", "--get", "core.sshCommand"]).stdin(Stdio::null()).output().ok()?;
        let value = found.stdout.strip_suffix(b"\n").unwrap_or(&found.stdout);
        (found.status.success() && !value.is_empty()).then(|| OsString::from_vec(value.to_vec()))
    }

    /// Our link, for programs that start ssh themselves.
    fn link(&self, name: &str) -> PathBuf {
        self.directory.join(BIN).join(name)
    }

    /// The real program with our options in front: ssh uses the first value of each option.
    fn command(&self, name: &str, arguments: &[OsString]) -> Result<Command, WrapperError> {
        let program = self
            .programs
            .find_real(name, &self.path)
            .ok_or_else(|| WrapperError::NotFound(name.to_owned()))?;
        let mut command = Command::new(program);
        if name == SSH {
            // ssh starts itself by this name for a jump host, whose key must be known, too.
            command.arg0(self.link(name));
            command.args(self.options(arguments));
        } else {
            // scp and sftp start the ssh whose path was compiled in, not the one in PATH.
            command.arg("-S").arg(self.link(SSH));
        }
        command.args(arguments);
        Ok(command)
    }

    fn options(&self, arguments: &[OsString]) -> Vec<OsString> {
        let mut options: Vec<OsString> = Vec::new();
        let known_hosts = self.directory.join(KNOWN_HOSTS);
        if known_hosts.is_file() {
            let files = [
                known_hosts.as_os_str(),
                "/etc/ssh/ssh_known_hosts".as_ref(),
                "/etc/ssh/ssh_known_hosts2".as_ref(),
            ];
            let mut option = OsString::from("GlobalKnownHostsFile=");
            option.push(files.join(OsStr::new(" ")));
            for option in [option, "StrictHostKeyChecking=yes".into(), "UpdateHostKeys=no".into()] {
                options.extend(["-o".into(), option]);
            }
        }
        let repository = SshCall::parse(arguments).and_then(|call| call.repository());
        let keys = repository.iter().flat_map(|repository| self.keys.files_for(repository));
        let files: Vec<OsString> = keys.map(|file| self.directory.join(file).into()).collect();
        if !files.is_empty() {
            // A server accepts the deploy key of any repository, and reports only then that this key has no access to this
            // repository: the agent's other keys must not come first.
            options.extend(["-o".into(), "IdentitiesOnly=yes".into()]);
        }
        for file in files {
            let mut option = OsString::from("IdentityFile=");
            option.push(file);
            options.extend(["-o".into(), option]);
        }
        options
    }
}

/// Finds programs in `PATH`, and tells this program, by whatever name, from others.
pub(crate) struct Programs {
    device: u64,
    inode: u64,
}

impl Programs {
    /// # Errors
    /// Those of the system, if `own_program` does not exist.
    pub(crate) fn new(own_program: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(own_program)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// The first program `name` in `path` that is not this one.
    pub(crate) fn find_real(&self, name: &str, path: &OsStr) -> Option<PathBuf> {
        self.find(name, path, false)
    }

    /// The first link `name` in `path` to this program.
    fn find_link(&self, name: &str, path: &OsStr) -> Option<PathBuf> {
        self.find(name, path, true)
    }

    fn find(&self, name: &str, path: &OsStr, own: bool) -> Option<PathBuf> {
        // An empty entry is the working directory, and a program there must not be taken for ssh.
        let entries = std::env::split_paths(path).filter(|entry| !entry.as_os_str().is_empty());
        entries.map(|entry| entry.join(name)).find(|program| {
            std::fs::metadata(program).is_ok_and(|found| {
                let executable = found.is_file() && found.permissions().mode() & 0o111 != 0;
                executable && own == ((found.dev(), found.ino()) == (self.device, self.inode))
            })
        })
    }
}
