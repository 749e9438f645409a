//! Messages go to stderr, or to the log of the background half of `serve -d`, which has no stderr.

use std::fs::File;
use std::io::{Write, stderr};
use std::sync::OnceLock;

static LOG: OnceLock<File> = OnceLock::new();

pub(crate) fn to_log(log: File) {
    // It is called once; a second call would have no effect.
    let _ = LOG.set(log);
}

pub(super) use output as log;

pub(super) fn output() -> Box<dyn Write> {
    match LOG.get() {
        Some(log) => Box::new(log),
        None => Box::new(stderr()),
    }
}
