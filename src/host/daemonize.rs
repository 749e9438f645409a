//! `serve -d`: the bridge in the background.
//!
//! The command, the foreground half, starts its own binary again, the background half, as the hidden command [`COMMAND`].
//! Arguments, and standard input if that is a secret's source, travel through a pipe: a process list shows neither. Nothing
//! of the caller's stays open in the background, so `CONF=$(secrets-bridge serve -d …)` returns.

use std::io::{self, Read, Write as _};
use std::path::Path;

use clap::Args;
use proto::Secret;

use crate::cli::command::Command;
use crate::failure::Failure;

#[cfg_attr(unix, path = "daemonize/unix.rs")]
#[cfg_attr(windows, path = "daemonize/windows.rs")]
mod platform;

pub(crate) use platform::start;

// The background half of `serve -d`; its arguments come through a pipe.
#[derive(Debug, Args)]
pub(crate) struct Background {
    /// Name of the pipe on Windows; the pipe is standard input elsewhere
    #[arg(default_value = "")]
    pipe: String,
}

impl Command for Background {
    fn run(self) -> Result<u32, Failure> {
        platform::run(&self.pipe)
    }
}

/// Name of the hidden command that is the background half.
pub(crate) const COMMAND: &str = "serve-detached";

/// Most bytes of the arguments in all, and of an answer: the systems allow less for the former (execve(2),
/// `CreateProcess`).
const MAX_LENGTH: u64 = 8 << 20;

/// First byte of the background half's answer; conf or message follow.
const READY: u8 = b'+';
const FAILED: u8 = b'-';

/// Passes on what the background half, `process`, has answered.
///
/// # Errors
/// [`Failure::Background`] if it did not start.
fn conclude(process: u32, answer: &Secret, log: &Path) -> Result<u32, Failure> {
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
        None => format!("the bridge ended early; {} says why", log.display()),
    };
    Err(Failure::Background { message })
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::io("cannot start the bridge in the background", error)
}

fn not_by_hand(error: io::Error) -> Failure {
    Failure::io("the background half of `serve -d` is not for use by hand", error)
}

/// A length in the pipe: 32 bits, big-endian.
fn read_length(pipe: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
