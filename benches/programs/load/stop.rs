//! The end of this process: the end of its standard input.

use std::io::{copy, sink, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whether the attack should end.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set as soon as standard input ends.
    pub(crate) fn at_end_of_stdin() -> Self {
        let stop = Self::default();
        let flag = Arc::clone(&stop.0);
        thread::spawn(move || {
            wait_for_end_of_stdin();
            flag.store(true, Ordering::Relaxed);
        });
        stop
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn wait(&self) {
        while !self.is_set() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sleeps, but not past the end.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_set() && Instant::now() < until {
            thread::sleep(Duration::from_millis(50).min(time));
        }
    }
}

pub(crate) fn wait_for_end_of_stdin() {
    let _ = copy(&mut stdin().lock(), &mut sink());
}
