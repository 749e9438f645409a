//! The memory of a process, watched while it is attacked.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::failure::{Result, While, failure};

const INTERVAL: Duration = Duration::from_millis(10);

/// A field of `/proc/PID/status` that is a size, in bytes (proc_pid_status(5)).
pub(super) fn field(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).while_doing(format_args!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| failure!("{path} has no {name}: the process has ended"))? * 1024)
}

/// Resident memory, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    field(pid, "VmRSS")
}

/// Watches the resident memory of a process. Unlike `VmHWM`, it begins when this does.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(super) fn begin(pid: u32) -> Self {
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (flag, maximum) = (Arc::clone(&ended), Arc::clone(&peak));
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                if let Ok(bytes) = resident(pid) {
                    maximum.fetch_max(bytes, Ordering::Relaxed);
                }
                thread::sleep(INTERVAL);
            }
        });
        Self { ended, peak, thread }
    }

    /// The peak, in bytes.
    pub(super) fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}
