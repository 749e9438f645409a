//! Asks through the program that `SSH_ASKPASS` names.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proto::Secret;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::{MAX_PASSPHRASE, PromptError};

#[cfg_attr(unix, path = "askpass/unix.rs")]
#[cfg_attr(windows, path = "askpass/windows.rs")]
mod platform;

/// Tells the program that a yes or no is wanted. It is no variable of ours: passphrases are asked without.
const KIND: &str = "SSH_ASKPASS_PROMPT";
/// How much of what it says to a yes-or-no question is read.
const MAX_CONFIRMATION: u64 = 64;

/// What the program prints, up to the end of its first line.
pub(super) fn passphrase(program: &Path, question: &str) -> Result<Secret, PromptError> {
    let mut child = Command::new(program)
        .arg(question)
        .env_remove(KIND)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(PromptError::Askpass)?;
    let limit = MAX_PASSPHRASE + 2; // a line end, and one more to see that it is too long
    let mut answer = Zeroizing::new(Vec::with_capacity(limit));
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(limit as u64).read_to_end(&mut answer),
        None => Ok(0),
    };
    // Its stdout is closed by now, so one that would not stop writing ends, too.
    let status = child.wait()?;
    read?;
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    if line.len() > MAX_PASSPHRASE {
        Err(PromptError::TooLong)
    } else if !status.success() {
        Err(PromptError::Cancelled)
    } else {
        Ok(Secret::new(line.to_vec()))
    }
}

/// Whether the program says yes, as ssh-agent understands it: exit code 0, and nothing said or "yes". A program that
/// knows only how to ask for passphrases shows a field where people write "no", and then exits with 0.
///
/// Dropped, it ends the program and what that started.
pub(super) async fn confirm(program: &Path, question: &str) -> Result<bool, PromptError> {
    let mut command = tokio::process::Command::new(program);
    command
        .arg(question)
        .env(OsStr::new(KIND), "confirm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    platform::lead_a_group(&mut command);
    let mut child = command.spawn().map_err(PromptError::Askpass)?;
    // Declared after the child, so dropped before it.
    let mut group = platform::Group::of(&child);
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_CONFIRMATION).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
    group.has_ended();
    let answer = answer.trim_ascii();
    Ok(status.success() && (answer.is_empty() || answer.eq_ignore_ascii_case(b"yes")))
}

#[cfg(test)]
#[cfg(unix)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A program of these shell commands.
    pub(in crate::prompt) fn script(commands: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("askpass");
        // Written by another process: a file that this one has open for writing at a fork cannot be executed.
        let text = format!("#!/bin/sh\n{commands}\n");
        let draft = directory.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::set_permissions(&draft, PermissionsExt::from_mode(0o700)).unwrap();
        let copied = std::process::Command::new("cp").arg("-p").arg(&draft).arg(&program).status().unwrap();
        assert!(copied.success());
        (directory, program)
    }
}
