//! The background half is in a session of its own (setsid(2)); the pipes are its standard input and output.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bridge_host::{SecretSpec, Source};
use proto::Secret;

use super::{COMMAND, FAILED, MAX_LENGTH, READY, cannot_start, conclude, not_by_hand, read_length};
use crate::failure::Failure;
use crate::host::serve::Serve;
use crate::messages;

/// The foreground half: starts the other one with our own arguments, and returns when it is ready.
///
/// # Errors
/// [`Failure::Background`] with what the background half says.
pub(crate) fn start(log: &Path, specs: &[SecretSpec]) -> Result<u32, Failure> {
    let log_file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
        .map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?;
    let mut child = Command::new(std::env::current_exe().map_err(cannot_start)?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .map_err(cannot_start)?;
    if let Some(mut pipe) = child.stdin.take() {
        send_arguments(&mut pipe).map_err(cannot_start)?;
        if specs.iter().any(|spec| matches!(spec.source, Source::Stdin)) {
            io::copy(&mut io::stdin().lock(), &mut pipe).map_err(cannot_start)?;
        }
    }
    let mut answer = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MAX_LENGTH).read_to_end(&mut answer).map_err(cannot_start)?;
    }
    let answer = Secret::new(answer);
    conclude(child.id(), &answer, log)
}

/// The background half. It needs no name of a pipe: its own is standard input.
pub(crate) fn run(_pipe: &str) -> Result<u32, Failure> {
    let arguments = receive_arguments(&mut io::stdin().lock()).map_err(not_by_hand)?;
    // It cannot fail: a process that was just started leads no group.
    let _ = rustix::process::setsid();
    let result = serve(arguments);
    if let Err(failure) = &result {
        let text = [&[FAILED], messages::explain(failure).as_bytes()].concat();
        // Once it has hung up, only the log is left to tell.
        let _ = io::stdout().write_all(&text).and_then(|()| io::stdout().flush());
    }
    result
}

fn serve(arguments: Vec<OsString>) -> Result<u32, Failure> {
    let Some(invocation) = crate::cli::parse(arguments)? else { return Ok(0) };
    let Some(serve) = invocation.options_of::<Serve>("serve")? else {
        return Ok(0); // the foreground half is `serve` itself, so there is nothing else to be
    };
    messages::start(invocation.verbosity()?);
    serve.serve(None, |conf| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&[READY])?;
        stdout.write_all(conf)?;
        stdout.flush()?;
        hang_up()
    })
}

/// Lets go of the pipes to the foreground half, which waits for their end.
fn hang_up() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// The number of arguments, then each with its length (32 bits, big-endian), without `-d LOG`'s effect: the
/// background half calls another function.
fn send_arguments(pipe: &mut impl Write) -> io::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let length = |length: usize| u32::try_from(length).map_err(io::Error::other);
    pipe.write_all(&length(arguments.len())?.to_be_bytes())?;
    for argument in &arguments {
        pipe.write_all(&length(argument.len())?.to_be_bytes())?;
        pipe.write_all(argument.as_bytes())?;
    }
    pipe.flush()
}

fn receive_arguments(pipe: &mut impl Read) -> io::Result<Vec<OsString>> {
    let too_long = || io::Error::from(io::ErrorKind::InvalidData);
    let mut left = MAX_LENGTH;
    let mut arguments = Vec::new();
    for _ in 0..read_length(pipe)? {
        let length = read_length(pipe)?;
        left = left.checked_sub(u64::from(length) + 4).ok_or_else(too_long)?;
        let mut argument = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        pipe.read_exact(&mut argument)?;
        arguments.push(OsString::from_vec(argument));
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_pipe_and_a_cut_one_is_an_error() {
        let mut pipe = Vec::new();
        send_arguments(&mut pipe).unwrap();
        let received = receive_arguments(&mut pipe.as_slice()).unwrap();
        assert_eq!(received, std::env::args_os().collect::<Vec<_>>());
        assert!(receive_arguments(&mut &pipe[..pipe.len() - 1]).is_err());
        assert!(receive_arguments(&mut &[0, 0, 0, 1, 255, 255, 255, 255][..]).is_err());
    }
}
