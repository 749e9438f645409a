//! Commands as sources of secrets: `op read …`, `pass show …`.

use std::process::Stdio;
use std::time::Duration;

use proto::limits::MAX_SECRET;
use proto::{Secret, Untrusted};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::child;
use crate::process_tree::{self, ProcessTree};

/// Time for a command. Long enough for a password manager that asks a person.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of a command's stderr that are kept for messages.
const STDERR_LIMIT: u64 = 2048;
/// `CREATE_NO_WINDOW`: a bridge in the background has no console, and Windows would open one for its commands.
#[cfg(windows)]
const NO_WINDOW: u32 = 0x0800_0000;

/// Why a command yields no secret. May have what the command wrote to stderr, never what it wrote to stdout.
#[derive(Debug, Clone, Error)]
pub enum CommandError {
    #[error("cannot start the command: {0}")]
    Start(String),
    /// The command exited with a status other than 0, or a signal ended it.
    #[error("the command failed ({status}){}", suffix(.stderr))]
    Failed {
        status: String,
        /// The first [`STDERR_LIMIT`] bytes.
        stderr: Untrusted,
    },
    #[error("the command did not finish within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    #[error("the command wrote more than {0} bytes")]
    TooLarge(u64),
    #[error("cannot read the command's output: {0}")]
    Read(String),
}

fn suffix(stderr: &Untrusted) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// Runs `command` in the system's shell and returns its stdout. The command has neither stdin nor, on Unix, the
/// terminal's foreground: it runs when a build asks for the secret, and another program may use the terminal then. Its working
/// directory is that of the bridge, as the user expects; git's variables for a repository are removed.
///
/// # Errors
/// [`CommandError`].
pub(crate) async fn run(command: &str) -> Result<Secret, CommandError> {
    run_program(shell(command), b"").await
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::from(child::helper("/bin/sh"));
    shell.arg("-c").arg(command);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::from(child::helper("cmd.exe"));
    // /S keeps cmd from guessing which quotes are its own (see `cmd /?`).
    shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    shell
}

/// As [`run`], for a program with `input` as its stdin.
///
/// # Errors
/// [`CommandError`].
pub(crate) async fn run_program(mut program: Command, input: &[u8]) -> Result<Secret, CommandError> {
    process_tree::prepare(&mut program);
    #[cfg(windows)]
    program.creation_flags(NO_WINDOW);
    program
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child =
        child::spawn_async(&mut program).map_err(|error| CommandError::Start(error.to_string()))?;
    // Declared after the child, so dropped before it: a bridge that ends leaves no process of the command behind.
    let mut tree = ProcessTree::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program need not read its input; its exit status and output decide.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), stdout, stderr) =
            tokio::join!(write, read_up_to(stdout, MAX_SECRET + 1), read_up_to(stderr, STDERR_LIMIT));
        let status = child.wait().await.map_err(|error| CommandError::Read(error.to_string()))?;
        tree.set_ended();
        let stdout = stdout.map(Secret::new).map_err(|error| CommandError::Read(error.to_string()))?;
        if stdout.len() as u64 > MAX_SECRET {
            return Err(CommandError::TooLarge(MAX_SECRET));
        }
        if !status.success() {
            let stderr = String::from_utf8_lossy(&stderr.unwrap_or_default()).trim().to_owned();
            return Err(CommandError::Failed { status: status.to_string(), stderr: Untrusted::new(stderr) });
        }
        Ok(stdout)
    };
    tokio::time::timeout(TIME_LIMIT, work).await.unwrap_or(Err(CommandError::TimedOut))
}

/// Reads up to `limit` bytes, and reads and drops the rest, so that a full pipe does not stop the command. (A secret over
/// its limit is an error anyway, which its length shows.)
async fn read_up_to(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_failure_has_stderr_and_not_stdout() {
        let error = block_on(run("echo s3cr3t; echo vault is locked >&2; exit 3")).unwrap_err().to_string();
        assert!(
            error.contains("vault is locked") && error.contains('3') && !error.contains("s3cr3t"),
            "{error}"
        );
    }

    #[test]
    fn a_command_with_much_output_is_not_stopped_by_a_full_pipe() {
        let secret = block_on(run("head -c 300000 /dev/zero >&2; printf ok")).unwrap();
        assert_eq!(secret.expose(), b"ok");
    }

    #[test]
    fn descendants_of_a_command_end_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let alive = directory.path().join("alive");
        rustix::fs::mknodat(rustix::fs::CWD, &alive, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // Opening a FIFO waits for the other side, and reading it ends when the last writer is gone.
        let command = format!("sleep 1000 3>'{}'; true", alive.display());
        block_on(async {
            let opening = tokio::task::spawn_blocking(move || std::fs::File::open(alive));
            let mut fifo = tokio::select! {
                _ = run(&command) => panic!("it does not end by itself"),
                fifo = opening => fifo.unwrap().unwrap(),
            };
            std::io::Read::read_to_end(&mut fifo, &mut Vec::new()).unwrap();
        });
    }
}
