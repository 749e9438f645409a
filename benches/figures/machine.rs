//! Describes the machine and the time of a run: figures mean little without them.

use std::fs;
use std::thread::available_parallelism;
use std::time::SystemTime;

/// Date, processors, kernel and load, in one line.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let (release, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    format!(
        "{}: {} × {}, Linux {}, load {}",
        date.split('T').next().unwrap_or_default(),
        available_parallelism().map_or(0, usize::from),
        model.map_or("unknown processor", |(_, model)| model),
        release.trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}
