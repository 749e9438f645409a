//! The leak check: searches what COMMAND wrote for the secrets that it was given.
//!
//! Secrets leak less by intent than by what tools write on their own: logs, caches, `.git/config`. So after COMMAND has
//! ended, every file that was created or changed meanwhile is searched: its content, its name, and the target of a link.
//! This is a check, not a proof: it knows the encodings of [`leaks`] and the compression formats of [`unpack`], and cannot
//! see into encrypted files.
//!
//! ```text
//! Watch      from before COMMAND starts: the clock, the scope, and what to search for
//!  -> scope    whether everything that could become a layer is searched, or only where tools write on a host
//!  -> walk     the directories in scope, without what is mounted in them
//!  -> workers  the threads that share these directories, and the time limits
//!  -> search   the content of one file, and what is compressed in it
//!  -> report   what was found, without the value
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use leaks::Mask;
use proto::{Key, Secret};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, info, warn};

mod report;
mod scope;
mod search;
mod visitor;
mod walk;
mod workers;

pub use report::{Leak, Leaked, Spot};

use scope::Scope;
use search::{Searcher, Unpacking};
use walk::{Moment, Walk};
use workers::{Ended, Limits, Workers};

/// After this long, a message says that the check is running.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// How long to wait for the threads once their time is over. They check the time between two reads, and a read from a file
/// system that hangs never returns.
const LAST_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What happens when a delivered secret is found in what COMMAND wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaks {
    /// The step fails, if COMMAND has not done so already.
    Fail,
    /// A warning is printed.
    Warn,
    /// Nothing is searched.
    Off,
}

/// A check that was prepared before COMMAND starts.
pub(crate) struct Watch {
    since: Moment,
    scope: Scope,
    searcher: Searcher,
}

/// How a check ended.
pub(crate) enum Checked {
    /// It ran to its end, or until its time was over.
    Found(Option<Leaked>),
    /// A signal ended it. Contains the exit code for that.
    Interrupted(u32),
}

impl Watch {
    /// Covers everything that is written from now on. `None` if no secret is long and unusual enough to be searched for.
    /// Those in `unsearched` are not.
    pub(crate) fn begin(secrets: &[(Key, Secret)], unsearched: &[Key]) -> Option<Self> {
        let searched = secrets.iter().filter(|(key, _)| !unsearched.contains(key));
        let searched: Vec<_> = searched.map(|(key, secret)| (key.clone(), secret)).collect();
        let finder = leaks::Finder::new(&searched)?;
        // No path that is shown may contain any secret, including those that are not searched for.
        let all: Vec<_> = secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        let mask = Mask::new(&all).map(Arc::new);
        let searcher = Searcher::new(finder, mask);
        Some(Self { searcher, scope: Scope::detect(), since: Moment::now() })
    }

    /// Runs the check, after COMMAND has ended and everything that was set up for it has been removed. `interrupted` resolves
    /// when a signal asks this process to end.
    ///
    /// # Errors
    /// The system's, if no thread can be started, or if a thread panicked.
    pub(crate) async fn check(self, interrupted: impl Future<Output = u32>) -> io::Result<Checked> {
        let began = Instant::now();
        let limits = Limits::default();
        let workers = Arc::new(Workers::new(self.searcher, Walk::since(&self.since, self.scope), limits));
        let (done, mut ended) = oneshot::channel();
        let working = Arc::clone(&workers);
        // After a signal, nothing waits for this thread: it stops soon, unless a file system hangs, and the process ends
        // anyway.
        std::thread::Builder::new()
            .name("leak check".to_owned())
            .spawn(move || drop(done.send(working.run())))?;
        let mut interrupted = std::pin::pin!(interrupted);
        let mut reported = false;
        let ended = loop {
            tokio::select! {
                ended = &mut ended => break ended,
                code = &mut interrupted => {
                    workers.stop();
                    return Ok(Checked::Interrupted(code));
                }
                () = tokio::time::sleep_until(began + limits.all + LAST_READ_TIMEOUT) => {
                    workers.stop();
                    break Ok(Ended::OutOfTime);
                }
                () = tokio::time::sleep_until(began + QUIET_TIME), if !reported => {
                    reported = true;
                    info!("searching what COMMAND wrote for secrets: {} files so far", workers.counts().checked);
                }
            }
        };
        let counts = workers.counts();
        match ended {
            Ok(Ended::All) => {}
            Ok(Ended::OutOfTime) => warn!(
                "the leak check of {} did not finish within {} s: {} files checked, {} searched (--leaks off turns it off)",
                workers.covers(),
                began.elapsed().as_secs(),
                counts.checked,
                counts.searched
            ),
            // The thread has panicked.
            Err(_) => return Err(io::Error::other("it was aborted")),
        }
        debug!(
            "leak check of {}: {} files checked, {} of them changed, {} KiB searched, {} not readable, in {} ms",
            workers.covers(),
            counts.checked,
            counts.searched,
            counts.bytes >> 10,
            counts.unreadable,
            began.elapsed().as_millis()
        );
        let Unpacking { skipped, limited } = workers.unpacking();
        if let Some(path) = limited {
            warn!(
                "the leak check did not search all that is compressed in {path}: it unpacks to too much or too deep"
            );
        }
        if !skipped.is_empty() {
            debug!(
                "leak check: compressed data not searched: {} corrupt, {} encrypted, {} in formats other than gzip, zlib and zip",
                skipped.corrupt, skipped.encrypted, skipped.unsupported
            );
        }
        Ok(Checked::Found(workers.leaked()))
    }
}
