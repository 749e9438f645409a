//! What a bridge recorded of its clients, and what they cost it.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::Bridge;
/// The file to give to `--audit` of a bridge whose [`records`] are wanted.
pub const AUDIT: &str = "audit.jsonl";

/// The audit records of `--audit` [`AUDIT`], once the bridge has ended.
pub fn records(bridge: &Bridge) -> Vec<Value> {
    bridge.process.signal(rustix::process::Signal::TERM);
    bridge.process.exits();
    bridge.home.read(AUDIT).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of one kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["record"] == kind).collect()
}

/// The refused handshakes in sum, by cause.
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
pub fn resident(bridge: &Bridge) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.process.pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
