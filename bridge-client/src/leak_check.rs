//! The leak check: what COMMAND wrote down is searched for what it was given.
//!
//! Secrets leak less by design than by what tools write on their own: logs, caches, `.git/config`. So when COMMAND has
//! ended, every file that was created or changed meanwhile is searched: its content, its name, where it leads. It is a
//! check and not a proof: it knows the forms of [`leaks`], and not what was compressed or encrypted.
//!
//! ```text
//! Watch    from before COMMAND starts: the clock, and what to look for
//!  -> walk   every directory of the file system of `/`, and of the working directory's     
//!  -> workers the threads that share them, and when they stop
//!  -> search what a file holds against the finder
//!  -> report where what was found, and never the value
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
mod walk;
mod workers;

pub use report::{Leak, Leaked, Spot};

use scope::Scope;
use search::Searcher;
use walk::{Moment, Walk};
use workers::{Crew, Ended, Limits};

/// How long nothing is said about a check that takes its time.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a check may go on when it is to be over. The threads look at the clock between two reads, and one read of a file
/// system that hangs has no end.
const LAST_READ: Duration = Duration::from_secs(5);

/// What happens when a delivered secret is found in what COMMAND wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaks {
    /// The step fails, if COMMAND has not done so already.
    Fail,
    /// It is told.
    Warn,
    /// Nothing is looked for.
    Off,
}

/// A check that is to come, made before COMMAND starts.
pub(crate) struct Watch {
    since: Moment,
    scope: Scope,
    searcher: Searcher,
}

/// How a check went on.
pub(crate) enum Checked {
    /// To its end, or as far as its time went.
    Found(Option<Leaked>),
    /// A signal ended it: the exit code for that.
    Interrupted(u32),
}

impl Watch {
    /// From now on. `None` if nothing in `secrets`, without those in `unsearched`, is long and rare enough to be looked
    /// for.
    pub(crate) fn begin(secrets: &[(Key, Secret)], unsearched: &[Key]) -> Option<Self> {
        let searched = secrets.iter().filter(|(key, _)| !unsearched.contains(key));
        let searched: Vec<_> = searched.map(|(key, secret)| (key.clone(), secret)).collect();
        let finder = leaks::Finder::new(&searched)?;
        // No path that is shown may hold any of them.
        let all: Vec<_> = secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        let mask = Mask::new(&all).map(Arc::new);
        let searcher = Searcher::new(finder, mask);
        Some(Self { searcher, scope: Scope::detect(), since: Moment::now() })
    }

    /// COMMAND has ended, and all that was ours is gone. `interrupted` resolves when a signal says that this is to end.
    ///
    /// # Errors
    /// The system's, if there can be no thread.
    pub(crate) async fn check(self, interrupted: impl Future<Output = u32>) -> io::Result<Checked> {
        let began = Instant::now();
        let limits = Limits::default();
        let crew = Arc::new(Crew::new(self.searcher, Walk::since(&self.since, self.scope), limits));
        let (done, mut ended) = oneshot::channel();
        let working = Arc::clone(&crew);
        // Not awaited when a signal comes: it stops soon, unless a file system hangs, and the process ends anyway.
        std::thread::Builder::new()
            .name("leak check".to_owned())
            .spawn(move || drop(done.send(working.work())))?;
        let mut interrupted = std::pin::pin!(interrupted);
        let mut told = false;
        let ended = loop {
            tokio::select! {
                ended = &mut ended => break ended,
                code = &mut interrupted => {
                    crew.stop();
                    return Ok(Checked::Interrupted(code));
                }
                () = tokio::time::sleep_until(began + limits.all + LAST_READ) => {
                    crew.stop();
                    break Ok(Ended::OutOfTime);
                }
                () = tokio::time::sleep_until(began + SILENCE), if !told => {
                    told = true;
                    info!("looking for secrets in what COMMAND wrote: {} files so far", crew.counts().looked_at);
                }
            }
        };
        let counts = crew.counts();
        match ended {
            Ok(Ended::All) => {}
            Ok(Ended::OutOfTime) => warn!(
                "the leak check of {} did not finish within {} s: {} files looked at, {} searched (--leaks off turns it off)",
                crew.covers(),
                began.elapsed().as_secs(),
                counts.looked_at,
                counts.searched
            ),
            // A thread that panicked says nothing.
            Err(_) => return Err(io::Error::other("it broke off")),
        }
        debug!(
            "leak check of {}: {} files looked at, {} of them changed, {} KiB searched, {} not readable, in {} ms",
            crew.covers(),
            counts.looked_at,
            counts.searched,
            counts.bytes >> 10,
            counts.unreadable,
            began.elapsed().as_millis()
        );
        Ok(Checked::Found(crew.leaked()))
    }
}
