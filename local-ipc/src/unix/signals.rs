//! Which signals a process passes on to the program that it runs for its caller.

use rustix::process::{Resource, Signal, getrlimit};
#[cfg(target_os = "linux")]
use rustix_libc_wrappers::process::SignalExt as _;

/// The last signal of Linux (`SIGRTMAX`); other systems have fewer.
const LAST: i32 = 64;

/// All signals that one process sends to another, without those that this process inherited as ignored, as under `nohup`:
/// execve(2) keeps ignored signals ignored, but resets handled ones, so that a handler would undo that. To be called before
/// any signal is handled.
///
/// On Linux these include the real-time signals, `SIGRTMIN` to `SIGRTMAX` of the C library, which keeps two or three numbers
/// from 32 on for itself.
pub fn to_forward() -> Vec<Signal> {
    let ignored = ignored();
    let is_ignored = |signal: &Signal| ignored >> (signal.as_raw() - 1) & 1 == 1;
    (1..=LAST).filter_map(named).filter(is_forwarded).filter(|signal| !is_ignored(signal)).collect()
}

#[cfg(target_os = "linux")]
fn named(number: i32) -> Option<Signal> {
    Signal::from_raw(number)
}

#[cfg(not(target_os = "linux"))]
fn named(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number)
}

fn is_forwarded(signal: &Signal) -> bool {
    let own = [
        // They cannot be handled.
        Signal::KILL,
        Signal::STOP,
        // Faults of this process. A handler would return to the instruction that failed.
        Signal::ILL,
        Signal::BUS,
        Signal::FPE,
        Signal::SEGV,
        // The kernel sends it when this process writes to a connection that was closed. Rust ignores it.
        Signal::PIPE,
        // About the children of this process.
        Signal::CHILD,
        // The kernel sends them to the whole process group. With a handler, a write to the terminal from the background would
        // be tried again without end.
        Signal::TTIN,
        Signal::TTOU,
    ];
    !own.contains(signal)
}

/// Whether a signal is (probably) about a file of this process: with `ulimit -f`, the kernel sends SIGXFSZ when a write reaches
/// the limit. That is an error of writing, which is reported. The program that it runs did not write to that file.
pub fn is_about_own_file(signal: Signal) -> bool {
    signal == Signal::XFSZ && getrlimit(Resource::Fsize).current.is_some()
}

/// The signals that this process ignores, as bits; 0 on systems without /proc.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn every_signal_that_can_be_handled_is_forwarded() {
        let forwarded: Vec<i32> = to_forward().iter().map(|signal| signal.as_raw()).collect();
        // Numbers of x86 and ARM. The C library keeps 32 and 33, and musl also 34.
        let own = [4, 7, 8, 9, 11, 13, 17, 19, 21, 22, 32, 33, 34];
        let missing: Vec<i32> = (1..=64).filter(|n| !own.contains(n) && !forwarded.contains(n)).collect();
        // Those that this process inherited as ignored.
        assert!(missing.iter().all(|n| ignored() >> (n - 1) & 1 == 1), "{missing:?}");
        assert!(forwarded.iter().all(|n| *n == 34 || !own.contains(n)), "{forwarded:?}");
    }
}
