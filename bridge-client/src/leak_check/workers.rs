//! The threads of a leak check, and the directories that wait for them.

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::report::Leaked;
use super::search::Searcher;
use super::walk::{Directory, Walk};

/// Threads at most. More of them wait for each other in the kernel.
const MAX_THREADS: usize = 4;
/// What is read of a file at once. Beyond it nothing becomes faster.
const BUFFER: usize = 256 << 10;

/// How long a check may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For looking at names and times: what COMMAND did not touch. A large image takes a second; the root of a
    /// developer's machine may hold millions of files.
    pub(super) walk: Duration,
    /// With what is searched: what COMMAND wrote, which may be gigabytes.
    pub(super) all: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { walk: Duration::from_secs(10), all: Duration::from_secs(120) }
    }
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything that can be read was looked at.
    All,
    /// It took too long, or was stopped.
    OutOfTime,
}

/// Shared by the threads of one check.
pub(super) struct Crew {
    pub(super) searcher: Searcher,
    walk: Walk,
    limits: Limits,
    began: Instant,
    is_over: AtomicBool,
    waiting: Mutex<Waiting>,
    more: Condvar,
    looked_at: AtomicU64,
    searched: AtomicU64,
    bytes: AtomicU64,
    unreadable: AtomicU64,
}

struct Waiting {
    /// The newest is taken first: so as few as possible are held open.
    directories: Vec<Directory>,
    /// Threads that are in one, and may find more.
    busy: usize,
}

/// How far it came.
pub(super) struct Counts {
    pub(super) looked_at: u64,
    pub(super) searched: u64,
    pub(super) bytes: u64,
    pub(super) unreadable: u64,
}

impl Crew {
    pub(super) fn new(
        searcher: Searcher,
        (walk, directories): (Walk, Vec<Directory>),
        limits: Limits,
    ) -> Self {
        Self {
            searcher,
            walk,
            limits,
            began: Instant::now(),
            is_over: AtomicBool::new(false),
            waiting: Mutex::new(Waiting { directories, busy: 0 }),
            more: Condvar::new(),
            looked_at: AtomicU64::new(0),
            searched: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Looks at everything. Returns when that is done, or over.
    pub(super) fn work(&self) -> Ended {
        let threads = thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS));
        thread::scope(|scope| {
            for _ in 1..threads {
                // One thread alone does it as well.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.take_part());
            }
            self.take_part();
        });
        if self.is_over.load(Relaxed) { Ended::OutOfTime } else { Ended::All }
    }

    fn take_part(&self) {
        let mut worker = Worker { crew: self, buffer: vec![0; BUFFER], searching: Duration::ZERO };
        while let Some(directory) = self.next() {
            let mut inner = Vec::new();
            self.walk.list(&mut worker, directory, &mut inner);
            let mut waiting = self.lock();
            waiting.directories.append(&mut inner);
            waiting.busy -= 1;
            drop(waiting);
            self.more.notify_all();
        }
    }

    /// The next directory; `None` once there will be no more.
    fn next(&self) -> Option<Directory> {
        let mut waiting = self.lock();
        loop {
            if self.is_over.load(Relaxed) {
                return None;
            }
            if let Some(directory) = waiting.directories.pop() {
                waiting.busy += 1;
                return Some(directory);
            }
            if waiting.busy == 0 {
                return None;
            }
            // Whoever is busy wakes us, at the latest when it is over.
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it soon.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// How far it is.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            looked_at: self.looked_at.load(Relaxed),
            searched: self.searched.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }

    /// Which part of the system is searched.
    pub(super) fn covers(&self) -> String {
        self.walk.covers(|path| self.searcher.shown(path))
    }

    /// What was found.
    pub(super) fn leaked(&self) -> Option<Leaked> {
        self.searcher.leaked()
    }
}

/// One thread.
pub(super) struct Worker<'a> {
    pub(super) crew: &'a Crew,
    buffer: Vec<u8>,
    /// How long it has searched. That is COMMAND's doing, and not a part of the walk.
    searching: Duration,
}

impl Worker<'_> {
    /// Whether no more is to be looked at. To be asked now and then.
    pub(super) fn is_over(&self) -> bool {
        let passed = self.crew.began.elapsed();
        let Limits { walk, all } = self.crew.limits;
        if passed.saturating_sub(self.searching) > walk || passed > all {
            self.crew.stop();
        }
        self.crew.is_over.load(Relaxed)
    }

    /// `count` names were looked at.
    pub(super) fn looked_at(&self, count: u64) {
        self.crew.looked_at.fetch_add(count, Relaxed);
    }

    /// Something could not be looked at.
    pub(super) fn unreadable(&self) {
        self.crew.unreadable.fetch_add(1, Relaxed);
    }

    /// Searches what `reader` gives, which is (a part of) one file.
    pub(super) fn search(&mut self, reader: &mut dyn Read, path: &dyn Fn() -> PathBuf) {
        let began = Instant::now();
        let crew = self.crew;
        let is_over = || {
            if crew.began.elapsed() > crew.limits.all {
                crew.stop();
            }
            crew.is_over.load(Relaxed)
        };
        match crew.searcher.content(reader, &mut self.buffer, &is_over, path) {
            Ok(bytes) => {
                crew.bytes.fetch_add(bytes, Relaxed);
            }
            Err(_) => self.unreadable(),
        }
        crew.searched.fetch_add(1, Relaxed);
        self.searching += began.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use leaks::Finder;
    use proto::Secret;

    use super::super::scope::Scope;
    use super::super::walk::Moment;
    use super::*;

    fn crew(limits: Limits) -> Crew {
        let secret = Secret::new(b"xK9-hunter2-Qw7".to_vec());
        let finder = Finder::new(&[("K".parse().unwrap(), &secret)]).unwrap();
        Crew::new(Searcher::new(finder, None), Walk::since(&Moment::now(), Scope::FileSystems), limits)
    }

    #[test]
    fn a_walk_that_takes_too_long_ends_and_says_so() {
        let limits = Limits { walk: Duration::ZERO, ..Limits::default() };
        let crew = crew(limits);
        assert_eq!(crew.work(), Ended::OutOfTime);
        let limits = Limits { all: Duration::ZERO, ..Limits::default() };
        assert_eq!(self::crew(limits).work(), Ended::OutOfTime);
    }

    #[test]
    fn who_is_stopped_looks_at_nothing_more() {
        let crew = crew(Limits::default());
        crew.stop();
        assert_eq!(crew.work(), Ended::OutOfTime);
        assert_eq!(crew.counts().looked_at, 0);
    }

    #[test]
    fn what_is_endless_is_searched_for_a_bounded_time() {
        let limits = Limits { all: Duration::from_millis(1), ..Limits::default() };
        let crew = crew(limits);
        let mut worker = Worker { crew: &crew, buffer: vec![0; BUFFER], searching: Duration::ZERO };
        worker.search(&mut std::io::repeat(b'x'), &|| "endless".into());
        assert!(worker.is_over());
    }
}
