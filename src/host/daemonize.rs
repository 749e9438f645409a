//! `serve -d`: the bridge in the background.
//!
//! The foreground process starts its own binary again, with the hidden command [`COMMAND`], as the background process, and
//! waits until the bridge is ready. Arguments, and standard input if that is a secret's source, go through a pipe: no process
//! list shows them. The background process keeps nothing of the caller's open, so `CONF=$(secrets-bridge serve -d …)`
//! returns.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::path::Path;

use clap::Args;
use proto::Secret;

use crate::cli::command::{BackgroundCommand, Parse};
use crate::failure::Failure;
use crate::host::serve::Serve;
use crate::messages;

#[cfg_attr(unix, path = "daemonize/unix.rs")]
#[cfg_attr(windows, path = "daemonize/windows.rs")]
mod platform;

pub(crate) use platform::start;

use platform::Foreground;

/// Name of the hidden command that runs the background process.
pub(crate) const COMMAND: &str = "serve-detached";

/// Most bytes of all arguments, and of an answer. The systems allow less for the former (execve(2), `CreateProcess`).
const MAX_LENGTH: u64 = 8 << 20;

/// First byte of the background process's answer. The conf follows.
const READY: u8 = b'+';
/// First byte of its answer if it cannot serve. The message follows.
const FAILED: u8 = b'-';

// The background process. (A doc comment would become help text.)
#[derive(Debug, Args)]
pub(crate) struct Background {
    /// Name of the pipe on Windows; the pipe is standard input elsewhere
    #[arg(default_value = "")]
    pipe: String,
}

impl BackgroundCommand for Background {
    fn run(self, parse: Parse) -> Result<u32, Failure> {
        let (foreground, arguments, input) = Foreground::connect(&self.pipe).map_err(|error| {
            Failure::io(format!("cannot receive arguments: `{COMMAND}` is for `serve -d` only"), error)
        })?;
        let mut foreground = Some(foreground);
        let result = serve(parse, arguments, input, &mut foreground);
        if let (Err(failure), Some(foreground)) = (&result, foreground) {
            let answer = [&[FAILED], messages::explain(failure).as_bytes()].concat();
            // If the foreground process is gone, the message is in the log only.
            let _ = foreground.answer(&answer);
        }
        result
    }
}

fn serve(
    parse: Parse,
    arguments: Vec<OsString>,
    input: Option<Secret>,
    foreground: &mut Option<Foreground>,
) -> Result<u32, Failure> {
    let Some(invocation) = parse(arguments)? else { return Ok(0) };
    let Some(serve) = invocation.options_of::<Serve>("serve")? else {
        return Ok(0); // only `serve` starts a background process
    };
    platform::send_messages_to_log(serve.log())?;
    messages::start(invocation.verbosity()?);
    serve.serve(input, |conf| {
        let foreground = foreground.take().ok_or(io::ErrorKind::NotConnected)?;
        let answer = Secret::new([&[READY], conf].concat());
        foreground.answer(answer.expose())
    })
}

/// Handles the answer of the background process with id `process`: prints the conf.
///
/// # Errors
/// [`Failure::Background`] if the bridge did not start.
fn handle_answer(process: u32, answer: &Secret, log: &Path) -> Result<u32, Failure> {
    let message = match answer.expose().split_first() {
        Some((&READY, conf)) => {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(conf)
                .and_then(|()| stdout.flush())
                .map_err(|error| Failure::io("cannot write the conf to standard output", error))?;
            tracing::info!(
                "the bridge runs in the background as process {process}; it writes to {}",
                log.display()
            );
            return Ok(0);
        }
        Some((_, message)) => String::from_utf8_lossy(message).into_owned(),
        None => format!("the background process ended without an answer; see {}", log.display()),
    };
    Err(Failure::Background { message })
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::io("cannot start the bridge in the background", error)
}

/// Encodes the number of `arguments`, then each with its length. Numbers have 32 bits, big-endian.
fn encode_arguments(arguments: impl Iterator<Item = OsString>) -> io::Result<Vec<u8>> {
    let number = |number: usize| u32::try_from(number).map(u32::to_be_bytes).map_err(io::Error::other);
    let arguments: Vec<Vec<u8>> = arguments.map(platform::to_bytes).collect();
    let mut bytes = number(arguments.len())?.to_vec();
    for argument in &arguments {
        bytes.extend(number(argument.len())?);
        bytes.extend(argument);
    }
    Ok(bytes)
}

fn decode_arguments(pipe: &mut impl Read) -> io::Result<Vec<OsString>> {
    let mut left = MAX_LENGTH;
    let mut arguments = Vec::new();
    for _ in 0..read_number(pipe)? {
        let length = read_number(pipe)?;
        left = left.checked_sub(u64::from(length) + 4).ok_or(io::ErrorKind::InvalidData)?;
        let mut argument = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        pipe.read_exact(&mut argument)?;
        arguments.push(platform::from_bytes(argument));
    }
    Ok(arguments)
}

fn read_number(pipe: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_a_round_trip_and_cut_ones_are_errors() {
        let arguments = ["secrets-bridge", "", "--secret", "KEY=ä"].map(OsString::from);
        let bytes = encode_arguments(arguments.iter().cloned()).unwrap();
        assert_eq!(decode_arguments(&mut bytes.as_slice()).unwrap(), arguments);
        assert!(decode_arguments(&mut &bytes[..bytes.len() - 1]).is_err());
        assert!(decode_arguments(&mut &[0, 0, 0, 1, 255, 255, 255, 255][..]).is_err());
    }
}
