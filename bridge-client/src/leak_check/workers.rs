//! The threads of a leak check, their queue of directories, and their time limits.

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::report::{Leaked, Spot};
use super::search::{Searcher, Unpacking};
use super::visitor::Visitor;
use super::walk::{Directory, Walk};

/// Limit of threads. More would wait for each other in the kernel.
const MAX_THREADS: usize = 4;
/// Bytes per read. Larger reads are not faster.
const BUFFER_SIZE: usize = 256 << 10;

/// How long a check may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For listing directories, without the time of searching files. A large image takes a second. The root of a developer's
    /// machine may have millions of files.
    pub(super) walk: Duration,
    /// For all of it, including the search of what COMMAND wrote, which may be gigabytes.
    pub(super) all: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { walk: Duration::from_secs(10), all: Duration::from_secs(120) }
    }
}

/// How a check ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything readable was checked.
    All,
    /// The time was over, or the check was stopped.
    OutOfTime,
}

/// What the threads of a check share.
pub(super) struct Workers {
    searcher: Searcher,
    walk: Walk,
    limits: Limits,
    began: Instant,
    is_stopped: AtomicBool,
    queue: Mutex<Queue>,
    more: Condvar,
    checked: AtomicU64,
    searched: AtomicU64,
    bytes: AtomicU64,
    unreadable: AtomicU64,
}

struct Queue {
    /// The last one is taken first, so that as few as possible are held open.
    directories: Vec<Directory>,
    /// Threads that are listing a directory, and may add more.
    busy: usize,
}

/// The progress of a check.
pub(super) struct Counts {
    pub(super) checked: u64,
    pub(super) searched: u64,
    pub(super) bytes: u64,
    pub(super) unreadable: u64,
}

impl Workers {
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
            is_stopped: AtomicBool::new(false),
            queue: Mutex::new(Queue { directories, busy: 0 }),
            more: Condvar::new(),
            checked: AtomicU64::new(0),
            searched: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Runs the check on this thread and further ones.
    pub(super) fn run(&self) -> Ended {
        let threads = thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS));
        thread::scope(|scope| {
            for _ in 1..threads {
                // If a thread cannot be started, the others do its work.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.work());
            }
            self.work();
        });
        if self.is_stopped.load(Relaxed) { Ended::OutOfTime } else { Ended::All }
    }

    fn work(&self) {
        let mut worker = Worker { shared: self, buffer: vec![0; BUFFER_SIZE], searching: Duration::ZERO };
        while let Some(directory) = self.next() {
            let mut inner = Vec::new();
            self.walk.list(&mut worker, directory, &mut inner);
            let mut queue = self.lock();
            queue.directories.append(&mut inner);
            queue.busy -= 1;
            drop(queue);
            self.more.notify_all();
        }
    }

    /// The next directory, or `None` once there will be no more.
    fn next(&self) -> Option<Directory> {
        let mut queue = self.lock();
        loop {
            if self.is_stopped.load(Relaxed) {
                return None;
            }
            if let Some(directory) = queue.directories.pop() {
                queue.busy += 1;
                return Some(directory);
            }
            if queue.busy == 0 {
                return None;
            }
            // A busy thread wakes this one, at the latest when the check is stopped.
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all threads end soon.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            checked: self.checked.load(Relaxed),
            searched: self.searched.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }

    /// Which part of the system is searched.
    pub(super) fn covers(&self) -> String {
        self.walk.covers(|path| self.searcher.shown(path))
    }

    /// What was compressed in files and could not be searched so far.
    pub(super) fn unpacking(&self) -> Unpacking {
        self.searcher.unpacking()
    }

    pub(super) fn leaked(&self) -> Option<Leaked> {
        self.searcher.leaked(self.covers())
    }
}

/// The state of one thread.
struct Worker<'a> {
    shared: &'a Workers,
    buffer: Vec<u8>,
    /// Time spent in files. It depends on what COMMAND wrote, so it does not count as walking.
    searching: Duration,
}

impl Visitor for Worker<'_> {
    fn is_stopped(&self) -> bool {
        let passed = self.shared.began.elapsed();
        let Limits { walk, all } = self.shared.limits;
        if passed.saturating_sub(self.searching) > walk || passed > all {
            self.shared.stop();
        }
        self.shared.is_stopped.load(Relaxed)
    }

    fn count_checked(&self, count: u64) {
        self.shared.checked.fetch_add(count, Relaxed);
    }

    fn count_unreadable(&self) {
        self.shared.unreadable.fetch_add(1, Relaxed);
    }

    fn search_text(&self, text: &[u8], spot: Spot, path: &dyn Fn() -> PathBuf) {
        self.shared.searcher.text(text, spot, path);
    }

    fn search_file(&mut self, reader: &mut dyn Read, path: &dyn Fn() -> PathBuf) {
        let began = Instant::now();
        let shared = self.shared;
        let is_stopped = || {
            if shared.began.elapsed() > shared.limits.all {
                shared.stop();
            }
            shared.is_stopped.load(Relaxed)
        };
        match shared.searcher.content(reader, &mut self.buffer, &is_stopped, path) {
            Ok(bytes) => {
                shared.bytes.fetch_add(bytes, Relaxed);
            }
            Err(_) => self.count_unreadable(),
        }
        shared.searched.fetch_add(1, Relaxed);
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

    fn workers(limits: Limits) -> Workers {
        let secret = Secret::new(b"xK9-hunter2-Qw7".to_vec());
        let finder = Finder::new(&[("K".parse().unwrap(), &secret)]).unwrap();
        Workers::new(Searcher::new(finder, None), Walk::since(&Moment::now(), Scope::detect()), limits)
    }

    #[test]
    fn a_check_that_takes_too_long_ends_as_out_of_time() {
        let limits = Limits { walk: Duration::ZERO, ..Limits::default() };
        let workers = workers(limits);
        assert_eq!(workers.run(), Ended::OutOfTime);
        let limits = Limits { all: Duration::ZERO, ..Limits::default() };
        assert_eq!(self::workers(limits).run(), Ended::OutOfTime);
    }

    #[test]
    fn a_stopped_check_reads_nothing() {
        let workers = workers(Limits::default());
        workers.stop();
        assert_eq!(workers.run(), Ended::OutOfTime);
        assert_eq!(workers.counts().checked, 0);
    }

    #[test]
    fn an_endless_file_is_searched_for_a_limited_time() {
        let limits = Limits { all: Duration::from_millis(1), ..Limits::default() };
        let workers = workers(limits);
        let mut worker = Worker { shared: &workers, buffer: vec![0; BUFFER_SIZE], searching: Duration::ZERO };
        worker.search_file(&mut std::io::repeat(b'x'), &|| "endless".into());
        assert!(worker.is_stopped());
    }
}
