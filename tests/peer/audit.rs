//! The audit records of a bridge, and its memory use.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::Bridge;

/// The file for `--audit` that [`records`] reads.
pub const AUDIT: &str = "audit.jsonl";

/// Ends the bridge and returns its audit records.
pub fn records(bridge: &Bridge) -> Vec<Value> {
    bridge.process.signal(rustix::process::Signal::TERM);
    bridge.process.exits();
    bridge.home.read(AUDIT).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of one kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["record"] == kind).collect()
}

/// The number of refused handshakes by cause, summed over all records.
pub fn refused_handshakes(records: &[Value]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for record in of_kind(records, "handshakes-refused") {
        for (cause, count) in record["causes"].as_object().unwrap() {
            *sums.entry(cause.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    sums
}

/// Resident memory of the bridge's process, in KiB.
#[cfg(target_os = "linux")]
pub fn resident_kib(bridge: &Bridge) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.process.pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
/// The highest resident size of the bridge so far, in KiB.
pub fn peak_kib(bridge: &Bridge) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.process.pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
/// Forgets the highest resident size.
pub fn reset_peak(bridge: &Bridge) {
    fs::write(format!("/proc/{}/clear_refs", bridge.process.pid.as_raw_nonzero()), "5").unwrap();
}
