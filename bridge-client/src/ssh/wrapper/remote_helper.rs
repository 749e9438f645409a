//! git's way to a repository with a deploy key whose URL says HTTPS (gitremote-helpers(7)): by ssh if the URL is exactly
//! that, else by git's own helper for HTTPS, as if this one were not there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::Command;

use super::{Wrapper, WrapperError, become_program};
use crate::ssh::git_keys::SSH_PORT;

/// git's own lines are far shorter.
const LONGEST_LINE: usize = 4 << 10;
const UPLOAD_PACK: &str = "git-upload-pack";
const SERVICES: [&str; 3] = [UPLOAD_PACK, "git-receive-pack", "git-upload-archive"];

/// `arguments` are the remote's name and the URL. Returns if git hangs up, or on failure.
pub(super) fn run(wrapper: &Wrapper, arguments: &[OsString]) -> Result<u32, WrapperError> {
    let (Some(remote), Some(url)) = (arguments.first(), arguments.last()) else {
        return Err(WrapperError::RemoteHelper("no URL"));
    };
    let text = url.to_str().filter(|url| url.starts_with("https://"));
    let text = text.ok_or(WrapperError::RemoteHelper("a URL that is not HTTPS"))?;
    let Some((repository, path)) = wrapper.keys.at_url(text) else {
        return Err(become_program(Command::new("git").arg("remote-https").arg(remote).arg(url)));
    };
    let Some(service) = converse(&mut File::from(io::stdin().as_fd().try_clone_to_owned()?))? else {
        return Ok(0);
    };
    let mut words: Vec<OsString> = Vec::new();
    let mut command = ssh(wrapper);
    if service == UPLOAD_PACK {
        // The protocol that git prefers; a server that does not know it answers in the old one, and git reads both.
        if std::env::var_os("GIT_PROTOCOL").is_none() {
            command.env("GIT_PROTOCOL", "version=2");
        }
        words.extend(["-o".into(), "SendEnv=GIT_PROTOCOL".into()]);
    }
    if repository.port() != SSH_PORT {
        words.extend(["-p".into(), repository.port().to_string().into()]);
    }
    // The path's letters are those of `Repository`: no quote is among them.
    words.extend([format!("git@{}", repository.host()).into(), format!("{service} '/{path}'").into()]);
    Err(become_program(command.args(words)))
}

/// The ssh that git itself would start.
fn ssh(wrapper: &Wrapper) -> Command {
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(mut script) = variable("GIT_SSH_COMMAND") {
        script.push(OsStr::new(" \"$@\""));
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&script).arg("ssh");
        return command;
    }
    Command::new(variable("GIT_SSH").map_or_else(|| wrapper.link("ssh"), Into::into))
}

/// Answers git until it wants to be connected, and says to which of [`SERVICES`]; `None` if it does not.
fn converse(stdin: &mut File) -> Result<Option<&'static str>, WrapperError> {
    while let Some(line) = line(stdin)? {
        if line == "capabilities" {
            answer("connect\n\n")?;
        } else if let Some(wanted) = line.strip_prefix("connect ") {
            if let Some(service) = SERVICES.into_iter().find(|service| *service == wanted) {
                answer("\n")?;
                return Ok(Some(service));
            }
            answer("fallback\n")?;
        } else if line.is_empty() {
            return Ok(None);
        } else {
            return Err(WrapperError::RemoteHelper("an unknown command"));
        }
    }
    Ok(None)
}

/// Byte by byte: what follows the line is ssh's to read.
fn line(stdin: &mut File) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stdin.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            return String::from_utf8(line).map(Some).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        line.extend_from_slice(&byte);
        if line.len() > LONGEST_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(None)
}

fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
