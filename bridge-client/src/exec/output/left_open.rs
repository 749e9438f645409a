//! Processes that COMMAND leaves running, such as ssh-agent or a build daemon, may have its output open. When the last reader of
//! a pipe has gone, the next write ends such a process by SIGPIPE. So a process stays that reads and discards what they write,
//! as long as one of them has the pipe open. It knows no secret, and has none of the files of this process open: who waits for
//! the end of `exec … | tee log` is not kept waiting.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use tracing::{info, warn};

use crate::exec::output::BUFFER_SIZE;

/// The command of this program that calls [`discard_to_end`].
const COMMAND: &str = "discard-output";

/// This binary, also if its file has been removed. Other systems than Linux have no such name.
#[cfg(target_os = "linux")]
const OWN_BINARY: Option<&str> = Some("/proc/self/exe");
#[cfg(not(target_os = "linux"))]
const OWN_BINARY: Option<&str> = None;

/// Leaves a process behind that reads `pipes` to their end.
pub(super) fn leave_reader(pipes: Vec<PipeReader>) {
    // The kernel ends all processes of a container with the first one.
    if rustix::process::getpid().is_init() {
        return;
    }
    match start_reader(pipes) {
        Ok(()) => info!(
            "processes that COMMAND started are still running: what they write from now on is discarded (redirect their \
             output to a file to keep it)"
        ),
        Err(error) => {
            warn!("processes that COMMAND started will fail when they write: no reader was left: {error}")
        }
    }
}

fn start_reader(pipes: Vec<PipeReader>) -> io::Result<()> {
    let program = match OWN_BINARY {
        Some(path) => path.into(),
        None => std::env::current_exe()?,
    };
    let mut pipes = pipes.into_iter();
    let mut next = || pipes.next().map_or_else(Stdio::null, Stdio::from);
    // It reads standard output too: std has no way to pass a third descriptor.
    let (first, second) = (next(), next());
    let reader = Command::new(program)
        .arg0("secrets-bridge")
        .arg(COMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(first)
        .stdout(second)
        .stderr(Stdio::null())
        .spawn()?;
    // It outlives this process, and is not waited for.
    drop(reader);
    Ok(())
}

/// Reads standard input and standard output, which are pipes of [`leave_reader`], to their ends.
pub fn discard_to_end() {
    // A signal from the terminal is not meant for it. It fails only in a process that leads a group.
    let _ = rustix::process::setsid();
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let second = stdout.map(|stdout| thread::spawn(move || read_to_end(stdout)));
    read_to_end(io::stdin().lock());
    if let Ok(second) = second {
        let _ = second.join();
    }
}

fn read_to_end(mut from: impl io::Read) {
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        match from.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}
