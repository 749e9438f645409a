//! Asks through the program that `SSH_ASKPASS` names.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use proto::Secret;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::{MAX_PASSPHRASE, PromptError};
use crate::child;
use crate::process_tree::{self, ProcessTree};

/// OpenSSH's variable that tells the program which kind of question it is. Not set for passphrases.
const KIND_VARIABLE: &str = "SSH_ASKPASS_PROMPT";
/// Longest answer to a confirmation that is read, in bytes.
const MAX_CONFIRMATION: u64 = 64;

/// The first line that the program prints.
pub(super) fn passphrase(program: &Path, question: &str) -> Result<Secret, PromptError> {
    let mut command = child::helper(program);
    command.arg(question).env_remove(KIND_VARIABLE).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = child::spawn(&mut command).map_err(PromptError::Askpass)?;
    let limit = MAX_PASSPHRASE + 2; // a line end, and one byte more to detect that it is too long
    let mut answer = Zeroizing::new(Vec::with_capacity(limit));
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(limit as u64).read_to_end(&mut answer),
        None => Ok(0),
    };
    // Its stdout is closed by now, so a program that never stops writing ends too.
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

/// The answer of the program, as for ssh-agent: exit code 0, and no output or "yes", or else "once". A program that can only
/// ask for passphrases has a text field, in which people write "no", and then it exits with 0.
///
/// If the future is dropped, the program and its descendants are ended.
pub(super) async fn confirm(program: &Path, question: &str) -> Result<Answer, PromptError> {
    let mut command = tokio::process::Command::from(child::helper(program));
    command
        .arg(question)
        .env(OsStr::new(KIND_VARIABLE), "confirm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    process_tree::prepare(&mut command);
    let mut child = child::spawn_async(&mut command).map_err(PromptError::Askpass)?;
    // Declared after the child, so that it is dropped before it.
    let mut tree = ProcessTree::of(&child);
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_CONFIRMATION).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
    tree.set_ended();
    let answer = answer.trim_ascii();
    Ok(if !status.success() {
        Answer::No
    } else if answer.is_empty() || answer.eq_ignore_ascii_case(b"yes") {
        Answer::UntilEnd
    } else if answer.eq_ignore_ascii_case(b"once") {
        Answer::Once
    } else {
        Answer::No
    })
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
