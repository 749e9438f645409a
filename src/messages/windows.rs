//! Messages go to stderr; those of a bridge in the background, which cannot be given one, to its log.

use std::fs::File;
use std::io::{Write, stderr};
use std::sync::OnceLock;

static LOG: OnceLock<File> = OnceLock::new();

/// From now on messages go to `log`.
pub(crate) fn to_log(log: File) {
    // A second call (there is none) would leave the first one in force.
    let _ = LOG.set(log);
}

pub(super) fn output() -> Box<dyn Write> {
    match LOG.get() {
        Some(log) => Box::new(log),
        None => Box::new(stderr()),
    }
}
