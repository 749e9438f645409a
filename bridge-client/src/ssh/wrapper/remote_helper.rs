//! The remote helper (gitremote-helpers(7)) that git runs for HTTPS URLs which begin with that of a repository with a deploy
//! key: connects by ssh if the URL is exactly that one, and otherwise runs git's own helper for HTTPS.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::Command;

use super::{GIT_SSH, GIT_SSH_COMMAND, SSH, Wrapper, WrapperError, exec_replace, shell};
use crate::ssh::git_keys::SSH_PORT;

/// Longest line accepted from git. Its own are far shorter.
const MAX_LINE: usize = 4 << 10;
const UPLOAD_PACK: &str = "git-upload-pack";
const SERVICES: [&str; 3] = [UPLOAD_PACK, "git-receive-pack", "git-upload-archive"];

/// `arguments` are the remote's name and the URL. Returns if git closes its pipe, or on failure.
pub(super) fn run(wrapper: &Wrapper, arguments: &[OsString]) -> Result<u32, WrapperError> {
    let (Some(remote), Some(url)) = (arguments.first(), arguments.last()) else {
        return Err(WrapperError::RemoteHelper("missing URL"));
    };
    let text = url.to_str().filter(|url| url.starts_with("https://"));
    let text = text.ok_or(WrapperError::RemoteHelper("the URL is not HTTPS"))?;
    let Some((repository, path)) = wrapper.keys.find_by_url(text) else {
        return Err(exec_replace(Command::new("git").arg("remote-https").arg(remote).arg(url)));
    };
    let Some(service) = negotiate(&mut File::from(io::stdin().as_fd().try_clone_to_owned()?))? else {
        return Ok(0);
    };
    let mut words: Vec<OsString> = Vec::new();
    let mut command = ssh(wrapper);
    if service == UPLOAD_PACK {
        // git prefers this version. A server that does not support it answers in the old one, and git reads both.
        if std::env::var_os("GIT_PROTOCOL").is_none() {
            command.env("GIT_PROTOCOL", "version=2");
        }
        words.extend(["-o".into(), "SendEnv=GIT_PROTOCOL".into()]);
    }
    if repository.port() != SSH_PORT {
        words.extend(["-p".into(), repository.port().to_string().into()]);
    }
    // `SshRepository` accepts no quotes in a path.
    words.extend([format!("git@{}", repository.host()).into(), format!("{service} '/{path}'").into()]);
    Err(exec_replace(command.args(words)))
}

/// The ssh command that git itself would run.
fn ssh(wrapper: &Wrapper) -> Command {
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(script) = variable(GIT_SSH_COMMAND) {
        return shell(&script, &[]);
    }
    Command::new(variable(GIT_SSH).map_or_else(|| wrapper.link(SSH), Into::into))
}

/// Answers git's commands until it asks to be connected to one of [`SERVICES`]; `None` if it does not.
fn negotiate(stdin: &mut File) -> Result<Option<&'static str>, WrapperError> {
    while let Some(line) = read_line(stdin)? {
        if line == "capabilities" {
            reply("connect\n\n")?;
        } else if let Some(wanted) = line.strip_prefix("connect ") {
            if let Some(service) = SERVICES.into_iter().find(|service| *service == wanted) {
                reply("\n")?;
                return Ok(Some(service));
            }
            reply("fallback\n")?;
        } else if line.is_empty() {
            return Ok(None);
        } else {
            return Err(WrapperError::RemoteHelper("unknown command"));
        }
    }
    Ok(None)
}

/// Reads byte by byte, because what follows the line is for ssh.
fn read_line(stdin: &mut File) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stdin.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            return String::from_utf8(line).map(Some).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        line.extend_from_slice(&byte);
        if line.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(None)
}

fn reply(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
