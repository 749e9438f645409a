//! Pipes for COMMAND's output, and the thread that reads and masks it, on Unix.
//!
//! One thread reads both streams, so that output is passed on in the order in which it was written, as far as the kernel tells.
//! If both streams are one file, COMMAND gets one pipe for both, and the order is exact.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use leaks::Mask;
use tokio::sync::oneshot;

use super::outlet::{Notify, Outlet};
use super::{PassedOn, outcome};

mod left_open;
mod masker;

use masker::{Masker, Stream};

pub use left_open::discard_to_end;

/// The output of a running COMMAND, and the thread that passes it on.
pub(crate) struct MaskedOutput {
    thread: oneshot::Receiver<PassedOn>,
    /// Closed to tell the thread that COMMAND has ended.
    running: PipeWriter,
}

impl MaskedOutput {
    /// Redirects the output of `command`, except to terminals, where people see what they typed. `None` if there is nothing to
    /// redirect.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn attach(command: &mut Command, mask: Mask) -> io::Result<Option<Self>> {
        let mask = Arc::new(mask);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (notified, notifier) = io::pipe()?;
        let mut streams = Vec::new();
        let mut add = |to: BorrowedFd<'_>| -> io::Result<PipeWriter> {
            let (from, writer) = io::pipe()?;
            let notifier = notifier.try_clone()?;
            // The pipe takes it at once: it holds a byte for each of 65,536 notifications, and is read after each.
            let notify: Notify = Box::new(move || drop((&notifier).write(&[0])));
            let to = Outlet::to(File::from(to.try_clone_to_owned()?), notify)?;
            streams.push(Stream::new(from, to, mask.stream()));
            Ok(writer)
        };
        match (stdout.is_terminal(), stderr.is_terminal()) {
            (true, true) => return Ok(None),
            (false, false) if is_one_file(stdout.as_fd(), stderr.as_fd()) => {
                let writer = add(stdout.as_fd())?;
                command.stdout(writer.try_clone()?).stderr(writer);
            }
            (out_is_terminal, err_is_terminal) => {
                if !out_is_terminal {
                    command.stdout(add(stdout.as_fd())?);
                }
                if !err_is_terminal {
                    command.stderr(add(stderr.as_fd())?);
                }
            }
        }
        let (ended, running) = io::pipe()?;
        let (done, thread) = oneshot::channel();
        let masker = Masker { streams, ended, notified };
        thread::Builder::new()
            .name("mask".to_owned())
            // Fails if the main thread no longer waits for it, because a signal has ended this process.
            .spawn(move || drop(done.send(masker.pass_on())))?;
        Ok(Some(Self { thread, running }))
    }

    /// Waits until everything that COMMAND wrote before it ended has been passed on, and a moment longer for what its children
    /// write. If they keep its output open, a process that outlives this one reads and discards what they write later.
    ///
    /// # Errors
    /// Output could not be written, as to a full disk, and is lost. COMMAND may not have noticed.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.running);
        let PassedOn { failure, left_open } = outcome(self.thread).await;
        if !left_open.is_empty() {
            left_open::leave_reader(left_open);
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Whether both are the same file, as after `2>&1`.
fn is_one_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |fd| rustix::fs::fstat(fd).map(|status| (status.st_dev, status.st_ino)).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}
