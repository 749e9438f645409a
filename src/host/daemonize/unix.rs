//! The background process is in a session of its own (setsid(2)). Its standard input and output are pipes to the foreground
//! process, its standard error is the log.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bridge_host::{SecretSpec, Source, private_file};
use proto::Secret;

use super::{COMMAND, MAX_LENGTH, cannot_start, decode_arguments, encode_arguments, handle_answer};
use crate::failure::Failure;

/// The foreground process: starts the background process with our own arguments, and returns when the bridge is ready.
///
/// # Errors
/// [`Failure::Background`] with the background process's message.
pub(crate) fn start(log: &Path, specs: &[SecretSpec]) -> Result<u32, Failure> {
    let log_file = private_file::append(log)
        .map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?;
    let arguments = Secret::new(encode_arguments(std::env::args_os()).map_err(cannot_start)?);
    let mut child = Command::new(std::env::current_exe().map_err(cannot_start)?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .map_err(cannot_start)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(arguments.expose()).map_err(cannot_start)?;
        if specs.iter().any(|spec| matches!(spec.source, Source::Stdin)) {
            io::copy(&mut io::stdin().lock(), &mut pipe).map_err(cannot_start)?;
        }
    }
    let mut answer = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MAX_LENGTH).read_to_end(&mut answer).map_err(cannot_start)?;
    }
    handle_answer(child.id(), &Secret::new(answer), log)
}

/// The pipes to the foreground process.
pub(super) struct Foreground;

impl Foreground {
    /// The connection, the arguments, and no input: that can still be read from standard input.
    pub(super) fn connect(_pipe: &str) -> io::Result<(Self, Vec<OsString>, Option<Secret>)> {
        let arguments = decode_arguments(&mut io::stdin().lock())?;
        // It cannot fail: a process that was just started leads no process group.
        let _ = rustix::process::setsid();
        Ok((Self, arguments, None))
    }

    /// Sends the answer and closes the pipes, because the foreground process reads to their end.
    pub(super) fn answer(self, answer: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(answer)?;
        stdout.flush()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        Ok(())
    }
}

/// The log is standard error already.
#[expect(clippy::unnecessary_wraps, reason = "opening the log can fail on Windows")]
pub(super) fn send_messages_to_log(_log: Option<&Path>) -> Result<(), Failure> {
    Ok(())
}

pub(super) fn to_bytes(argument: OsString) -> Vec<u8> {
    argument.into_vec()
}

pub(super) fn from_bytes(argument: Vec<u8>) -> OsString {
    OsString::from_vec(argument)
}
