//! `RLIMIT_NOFILE`: the number of every new descriptor is below the soft limit, and children inherit the limit.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// The limit before it was raised; `None` if it was not raised. Locked while a program is started, since the limit is that
/// of the whole process.
static ORIGINAL: Mutex<Option<Rlimit>> = Mutex::new(None);

/// `OPEN_MAX` of macOS: `setrlimit` fails there for more, although the hard limit is "unlimited".
const OPEN_MAX: u64 = 10_240;

/// Descriptors that starting one program may take at once: two for each of three pipes and of the pipe that reports
/// `exec`'s error, `/dev/null`, a pidfd; and some for other threads.
const DESCRIPTORS_PER_START: u64 = 16;

/// As [`super::raise`].
pub(super) fn raise(wanted: u64) -> u64 {
    let mut original = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let before = getrlimit(Resource::Nofile);
    for wanted in [wanted, wanted.min(OPEN_MAX)] {
        let target = before.maximum.map_or(wanted, |hard| hard.min(wanted));
        if before.current.is_none_or(|soft| soft >= target) {
            break;
        }
        if setrlimit(Resource::Nofile, Rlimit { current: Some(target), ..before }).is_ok() {
            // A second bridge of this process raises what the first has raised already.
            original.get_or_insert(before);
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A command for `program` that [`with_original_limit`] can start.
///
/// std sets limits in a child only by an unsafe hook between fork and exec. So this process has the original limit itself
/// while it starts a program. That fails if so many descriptors are open that none below the original limit is left for
/// the program's pipes: then a shell sets the limit and becomes the program. (`prlimit(2)` after the start is too late: a
/// shell that reports its limit at once was seen to report the raised one.)
pub(crate) fn command(program: &OsStr) -> Command {
    let original = *ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    match original.and_then(|limit| limit.current) {
        Some(limit) if !has_room_below(limit) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("ulimit -Sn {limit} && exec \"$@\""), "sh"]).arg(program);
            shell
        }
        _ => Command::new(program),
    }
}

/// Whether descriptors below `limit` are left for starting a program. New descriptors have the lowest free number.
fn has_room_below(limit: u64) -> bool {
    let lowest = fcntl_dupfd_cloexec(io::stderr(), 0).map(|free| free.as_raw_fd());
    lowest.is_ok_and(|free| u64::try_from(free).is_ok_and(|free| free + DESCRIPTORS_PER_START <= limit))
}

/// Runs `spawn`, which starts a program made by [`command`], so that the program has the limit of before
/// [`super::raise`]. `id` is the process id of what `spawn` returns.
///
/// # Errors
/// Those of `spawn`.
pub(crate) fn with_original_limit<T>(
    mut spawn: impl FnMut() -> io::Result<T>,
    id: impl Fn(&T) -> Option<u32>,
) -> io::Result<T> {
    let original = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(limit) = *original else { return spawn() };
    match lowered(limit, &mut spawn) {
        // As the program is started by a shell, or the last descriptors were taken after `command`.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {}
        started => return started,
    }
    let started = spawn()?;
    if let Some(pid) = id(&started).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        other_process::set_limit_of(pid, limit);
    }
    Ok(started)
}

/// Runs `spawn` while this process has `limit`.
fn lowered<T>(limit: Rlimit, spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    struct Restore(Rlimit);
    impl Drop for Restore {
        fn drop(&mut self) {
            // Allowed: the soft limit stays below the hard one.
            let _ = setrlimit(Resource::Nofile, self.0);
        }
    }
    let _restore = Restore(getrlimit(Resource::Nofile));
    setrlimit(Resource::Nofile, limit)?;
    spawn()
}

#[cfg(target_os = "linux")]
mod other_process {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    /// Sets the limit of a child. Fails only for a program that runs as another user, which keeps the raised one.
    pub(super) fn set_limit_of(child: Pid, limit: Rlimit) {
        let _ = prlimit(Some(child), Resource::Nofile, limit);
    }
}

#[cfg(not(target_os = "linux"))]
mod other_process {
    use rustix::process::{Pid, Rlimit};

    /// No system call sets the limit of another process: the child keeps the raised one.
    pub(super) fn set_limit_of(_child: Pid, _limit: Rlimit) {}
}
