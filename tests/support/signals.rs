//! Signals that the caller of the tests ignores, as nohup does with SIGHUP.
//!
//! An ignored signal stays ignored across exec, so it would not end the programs that tests start. A handled signal
//! gets its default action at exec. So tests install a handler, which does nothing, for each signal that they inherit
//! as ignored. (Blocked signals need no care: std unblocks all of them in the processes that it starts, and resets
//! SIGPIPE.)

use std::fs;
use std::sync::Once;

use tokio::signal::unix::{SignalKind, signal};

/// SIGPIPE, which Rust's runtime itself ignores.
const PIPE: i32 = 13;

/// From now on, processes that this process starts have the default action for every signal.
pub fn reset_in_children() {
    static RESET: Once = Once::new();
    RESET.call_once(|| {
        let ignored = ignored();
        // Only signals up to 31 can be handled by tokio; the rest are real-time ones that nothing here sends.
        let inherited: Vec<i32> = (1..32).filter(|n| *n != PIPE && ignored >> (n - 1) & 1 == 1).collect();
        if inherited.is_empty() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        for number in inherited {
            // The handler stays when this handle is dropped.
            drop(signal(SignalKind::from_raw(number)).unwrap());
        }
    });
}

/// The signals that this process ignores, a bit each; 0 without `/proc`.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    u64::from_str_radix(line.trim(), 16).unwrap()
}
