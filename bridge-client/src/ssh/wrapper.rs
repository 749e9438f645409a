//! This program under another name: `ssh`, `scp` and `sftp` of a private directory's `bin/`, and the remote helper that
//! git calls for the HTTPS URLs of repositories with a deploy key.
//!
//! It runs once for each connection, inside COMMAND, and becomes the real program. It reads the private directory and
//! writes nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::ssh::git_keys::{self, GitKeys};

mod arguments;
mod remote_helper;

use arguments::SshCall;

/// Where the names are, in the private directory.
pub(crate) const BIN: &str = "bin";
/// The file of known hosts, in the private directory; absent if there are none.
pub(crate) const KNOWN_HOSTS: &str = "known_hosts";
/// Programs that get options put in front.
pub(crate) const TOOLS: [&str; 3] = ["ssh", "scp", "sftp"];
/// What stands before `::` in a URL for our remote helper, see gitremote-helpers(7).
pub(crate) const SCHEME: &str = "sb";
/// The name under which git looks for it.
pub(crate) const REMOTE_HELPER: &str = "git-remote-sb";

/// Why the real program was not called.
#[derive(Debug, Error)]
pub enum WrapperError {
    /// The link outlived its directory, or somebody made one by hand.
    #[error("called as {0}, but no directory of `secrets-bridge exec` is there")]
    NoDirectory(String),
    /// Nothing else of that name in `PATH`.
    #[error("{0} was not found")]
    NotFound(String),
    /// It cannot be executed.
    #[error("cannot execute {program}")]
    CannotExecute {
        /// What was tried.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// What git and its remote helper say to each other failed.
    #[error("git asked its remote helper for something else than a repository: {0}")]
    RemoteHelper(&'static str),
    /// The private directory, or a pipe.
    #[error("cannot prepare ssh")]
    Io(#[from] io::Error),
}

impl WrapperError {
    /// As a shell would: 127 for a program that is not there, 126 for one that cannot be executed, 125 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::CannotExecute { .. } => 126,
            Self::NoDirectory(_) | Self::RemoteHelper(_) | Self::Io(_) => 125,
        }
    }
}

/// Does the work of whatever `arguments` (the first is the program's name) call this program, if that is one of the
/// names in a private directory. Returns only if that failed, or was no work; `None` under every other name.
pub fn called_by_another_name(arguments: &[OsString]) -> Option<Result<u32, WrapperError>> {
    let (typed, arguments) = arguments.split_first()?;
    let name = Path::new(typed).file_name()?.to_str()?;
    if name == REMOTE_HELPER {
        return Some(Wrapper::find(typed, name).and_then(|wrapper| remote_helper::run(&wrapper, arguments)));
    }
    TOOLS.contains(&name).then(|| {
        let failure = Wrapper::find(typed, name).and_then(|wrapper| wrapper.real(name, arguments));
        Err(failure.map_or_else(|error| error, |mut command| become_program(&mut command)))
    })
}

/// Becomes `command`, or says why not.
fn become_program(command: &mut Command) -> WrapperError {
    let source = command.exec();
    let program = command.get_program().to_string_lossy().into_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return WrapperError::NotFound(program);
    }
    WrapperError::CannotExecute { program, source }
}

/// What a call needs to know.
struct Wrapper {
    directory: PathBuf,
    keys: GitKeys,
    programs: Programs,
    path: OsString,
}

impl Wrapper {
    fn find(typed: &OsStr, name: &str) -> Result<Self, WrapperError> {
        let programs = Programs::of(&std::env::current_exe()?)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let link = if Path::new(typed).parent().is_some_and(|parent| parent != Path::new("")) {
            Some(PathBuf::from(typed))
        } else {
            programs.own(name, &path)
        };
        let directory = link.as_deref().and_then(|link| std::path::absolute(link).ok());
        let directory = directory.as_deref().and_then(Path::parent).and_then(Path::parent);
        let directory = directory.filter(|directory| directory.join(git_keys::FILE).is_file());
        let directory = directory.ok_or_else(|| WrapperError::NoDirectory(name.to_owned()))?.to_owned();
        Ok(Self { keys: GitKeys::read(&directory)?, directory, programs, path })
    }

    /// The link to us, for those who start ssh themselves.
    fn link(&self, name: &str) -> PathBuf {
        self.directory.join(BIN).join(name)
    }

    /// The real program with our options in front: of those that ssh gets twice, it takes the first.
    fn real(&self, name: &str, arguments: &[OsString]) -> Result<Command, WrapperError> {
        let program =
            self.programs.real(name, &self.path).ok_or_else(|| WrapperError::NotFound(name.to_owned()))?;
        let mut command = Command::new(program);
        if name == "ssh" {
            // It starts itself by this name for a jump host, which must be known too.
            command.arg0(self.link(name));
            command.args(self.options(arguments));
        } else {
            // They start the ssh that they were built with, not the one in PATH.
            command.arg("-S").arg(self.link("ssh"));
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
        let keys = repository.iter().flat_map(|repository| self.keys.of(repository));
        let files: Vec<OsString> = keys.map(|file| self.directory.join(file).into()).collect();
        if !files.is_empty() {
            // A server lets in whoever has any key of any repository, and then says that there is no such repository:
            // the agent's other keys must not come first.
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

/// Tells this program from others, whatever it is called.
pub(crate) struct Programs {
    device: u64,
    inode: u64,
}

impl Programs {
    /// # Errors
    /// The system's, if `own_program` is not there.
    pub(crate) fn of(own_program: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(own_program)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// The first program `name` in `path` that is not this one.
    pub(crate) fn real(&self, name: &str, path: &OsStr) -> Option<PathBuf> {
        self.first(name, path, false)
    }

    fn own(&self, name: &str, path: &OsStr) -> Option<PathBuf> {
        self.first(name, path, true)
    }

    fn first(&self, name: &str, path: &OsStr, own: bool) -> Option<PathBuf> {
        // An empty entry is the working directory, and whatever lies there must not become ssh.
        let entries = std::env::split_paths(path).filter(|entry| !entry.as_os_str().is_empty());
        entries.map(|entry| entry.join(name)).find(|program| {
            std::fs::metadata(program).is_ok_and(|found| {
                let executable = found.is_file() && found.permissions().mode() & 0o111 != 0;
                executable && own == ((found.dev(), found.ino()) == (self.device, self.inode))
            })
        })
    }
}
