//! The processors: one for the bridge and its good clients, another for the load.

use std::fs;
use std::process;
use std::thread::available_parallelism;

use super::table::Table;
use crate::run::Run;

/// The processors on which programs run; `None` to let the kernel choose.
pub(super) struct Cpus {
    /// For the bridge and its good clients. This process runs there too.
    pub(super) bridge: Option<usize>,
    /// For attackers.
    pub(super) load: Option<usize>,
    /// All that this process may use.
    allowed: String,
}

impl Cpus {
    /// Takes the first two processors that this process may use, and moves it to the first. With only one processor,
    /// nothing is moved.
    pub(super) fn divide() -> Self {
        let allowed = allowed();
        let [bridge, load, ..] = *listed(&allowed) else {
            return Self { bridge: None, load: None, allowed };
        };
        // The threads that start later inherit it, as good clients do.
        move_this_process(&bridge.to_string());
        Self { bridge: Some(bridge), load: Some(load), allowed }
    }

    /// `program` on all processors, for many clients at once.
    pub(super) fn on_all(&self, program: &str) -> Run {
        Run::new("taskset").args(["--cpu-list", &self.allowed, program])
    }

    /// Says in the table what the figures were measured with.
    pub(super) fn note(&self, table: &mut Table) {
        table.remark(match (self.bridge, self.load) {
            (Some(bridge), Some(load)) => {
                format!("bridge and good clients on processor {bridge}, load on processor {load}")
            }
            _ => {
                "load on the same processor as bridge and good clients: this machine has only one".to_owned()
            }
        });
    }
}

impl Drop for Cpus {
    /// What this process starts next may use all processors again.
    fn drop(&mut self) {
        move_this_process(&self.allowed);
    }
}

fn move_this_process(cpus: &str) {
    Run::new("taskset").args(["--pid", "--cpu-list", cpus, &process::id().to_string()]).succeeds();
}

/// `Cpus_allowed_list` of this process (proc_pid_status(5)), such as `0-3,8`.
fn allowed() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap_or_default().trim().to_owned()
}

fn listed(cpus: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().ok().zip(last.parse().ok())
    };
    let ranges = cpus.split(',').filter_map(range);
    ranges.flat_map(|(first, last): (usize, usize)| first..=last).collect()
}

/// Processors, kernel and load of this machine, in one line: figures mean little without them.
pub(super) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let date = Run::new("date").args(["-u", "+%Y-%m-%d"]).text().unwrap_or_default();
    format!(
        "{}: {} × {}, Linux {}, load {}",
        date.trim(),
        cpus.lines()
            .filter(|line| line.starts_with("processor"))
            .count()
            .max(available_parallelism().map_or(0, usize::from)),
        model.map_or("unknown processor", |(_, model)| model),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}
