//! Attacks by holders of the conf: memory that they can take alone and together, what they can have written, and the
//! bridge's descriptors.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use super::bridge::Bridge;
use super::good_clients::{self, Prints};
use super::load::Load;
use super::memory::Watch;
use super::table::{Limit, Table, Value};
use crate::failure::{Result, While, failure};
use crate::run::step;

/// What attackers of the bridge's memory do (benches/programs/load/holders.rs).
const FOR_MEMORY: [&str; 10] = [
    "answers",
    "unknown-keys",
    "channels",
    "frames",
    "fragments",
    "pings",
    "lists",
    "proven",
    "request",
    "abandoned",
];
/// What attackers of its audit file and log do.
const FOR_BYTES: [&str; 4] = ["refusals", "agent-refusals", "sessions", "bad-hellos"];
/// What attackers of its descriptors do.
const FOR_DESCRIPTORS: [&str; 2] = ["hunger", "nested"];
/// Memory that one holder may take.
const MEMORY_OF_ONE: u64 = 4_000_000;
/// Memory that all holders together may take, besides that of their sessions.
const MEMORY_OF_ALL: u64 = 256_000_000;
/// Memory of a session, not counted in [`MEMORY_OF_ALL`].
const MEMORY_OF_SESSION: u64 = 20_000;
/// Holders that attack together.
const TOGETHER: u64 = 300;
/// Holders that have the bridge write.
const WRITERS: u64 = 8;
/// Audit records and lines of the log that a flood may cause, however long it lasts.
const WRITTEN: u64 = 20_000_000;
/// Descriptors of the bridge that is attacked with sessions without end: the usual soft limit.
const DESCRIPTORS: u64 = 1024;
/// Of these, what sessions must leave for files, agents and new connections.
const SPARE: u64 = 16;
/// Holders that begin sessions without end.
const HUNGRY: u64 = 16;

/// A bridge with everything that holders can ask for, and its agent.
struct Target {
    bridge: Bridge,
    _agent: Load,
}

impl Target {
    fn start(scene: &Scene) -> Result<Self> {
        let (large, socket) = (scene.dir.path().join("large"), scene.dir.path().join("agent"));
        fs::write(&large, vec![b'x'; 1 << 20]).while_doing("write a file")?;
        let _ = fs::remove_file(&socket);
        let path = |path: &std::path::Path| path.to_str().map(str::to_owned);
        let (Some(large), Some(socket)) = (path(&large), path(&socket)) else {
            return Err(failure!("the target directory's path is not Unicode"));
        };
        let agent = Load::start_server(scene, &format!("agent {socket}"))?;
        agent.line()?;
        let arguments = ["--secret", &format!("id=LARGE,src={large}"), "--ssh", &format!("default={socket}")];
        let bridge = Bridge::start(scene, &arguments)?;
        good_clients::require(scene, &bridge)?;
        Ok(Self { bridge, _agent: agent })
    }
}

pub(super) fn attack(scene: &Scene, table: &mut Table) -> Result<()> {
    memory(scene, table, 1, MEMORY_OF_ONE, "memory that one conf holder takes, any attack")?;
    let limit = MEMORY_OF_ALL + TOGETHER * MEMORY_OF_SESSION;
    let figure = format!("memory that {TOGETHER} conf holders take together, any attack");
    memory(scene, table, TOGETHER, limit, &figure)?;
    bytes(scene, table)?;
    hunger(scene, table)
}

fn memory(scene: &Scene, table: &mut Table, holders: u64, limit: u64, figure: &str) -> Result<()> {
    let mut worst = None;
    let mut failed = 0;
    for kind in FOR_MEMORY {
        let name = format!("{kind}, {holders} conf holders");
        if !scene.includes(&name) {
            continue;
        }
        step(format_args!("attack: {name}"));
        let target = Target::start(scene)?;
        let idle = target.bridge.memory()?;
        let watch = Watch::begin(target.bridge.pid());
        let load = Load::start(scene, &format!("holders {kind} {holders}"), &target.bridge.conf)?;
        load.line()?;
        let began = Instant::now();
        let mut prints = Prints::run(scene, &target.bridge, scene.choose(60, 10))?;
        // Longer than a session without progress may last.
        let least = scene.choose(Duration::from_secs(15), Duration::from_secs(2));
        thread::sleep(least.saturating_sub(began.elapsed()));
        let did = load.end()?;
        prints.run_afterwards(scene, &target.bridge)?;
        let memory = watch.end().saturating_sub(idle);
        table.attack(&name, memory, &prints, &format!("{} rounds | ", did["rounds"]));
        if let Some(failure) = did["failure"].as_str().filter(|failure| !failure.is_empty()) {
            eprintln!("    the last attack that ended: {failure}");
        }
        failed += prints.failed;
        worst = worst.max(Some(memory));
    }
    let Some(worst) = worst else { return Ok(()) };
    table.limited(figure, Value::Bytes(worst), Limit::AtMost(Value::Bytes(limit)));
    table.limited(
        format!("good `print`s that failed meanwhile ({holders} conf holders)"),
        Value::Count(failed as u64),
        Limit::AtMost(Value::Count(0)),
    );
    Ok(())
}

/// What holders can have the bridge write to its audit file and its log.
fn bytes(scene: &Scene, table: &mut Table) -> Result<()> {
    for kind in FOR_BYTES {
        let name = format!("{kind}, {WRITERS} conf holders");
        if !scene.includes(&name) {
            continue;
        }
        step(format_args!("attack: {name}"));
        let target = Target::start(scene)?;
        let load = Load::start(scene, &format!("holders {kind} {WRITERS}"), &target.bridge.conf)?;
        load.line()?;
        thread::sleep(scene.choose(Duration::from_secs(20), Duration::from_secs(3)));
        let did = load.end()?;
        let (audit, log) = target.bridge.written();
        let of = |what: &str| format!("{what} after {} rounds of {name}", did["rounds"]);
        let limit = Limit::AtMost(Value::Bytes(WRITTEN));
        table.limited(of("audit file"), Value::Bytes(audit), limit);
        table.limited(of("log"), Value::Bytes(log), limit);
        afterwards(scene, table, &target.bridge, &name)?;
    }
    Ok(())
}

/// Sessions without end, on a bridge with few descriptors.
fn hunger(scene: &Scene, table: &mut Table) -> Result<()> {
    for kind in FOR_DESCRIPTORS {
        let name = format!("sessions without end ({kind})");
        if !scene.includes(&name) {
            continue;
        }
        step(format_args!("attack: {name}"));
        let bridge = Bridge::start_with_descriptors(scene, DESCRIPTORS)?;
        good_clients::require(scene, &bridge)?;
        let load = Load::start(scene, &format!("holders {kind} {HUNGRY}"), &bridge.conf)?;
        load.line()?;
        let end = Instant::now() + scene.choose(Duration::from_secs(20), Duration::from_secs(3));
        let mut most = 0;
        while Instant::now() < end {
            most = most.max(bridge.descriptors()?);
            thread::sleep(Duration::from_millis(20));
        }
        let did = load.end()?;
        let (audit, log) = bridge.written();
        let of = |what: &str| format!("{name}: {what}");
        table.noted(of("admitted"), Value::Count(did["rounds"].as_u64().unwrap_or_default()));
        table.limited(
            of(&format!("descriptors of the bridge, of {DESCRIPTORS}")),
            Value::Count(most),
            Limit::AtMost(Value::Count(DESCRIPTORS - SPARE)),
        );
        let limit = Limit::AtMost(Value::Bytes(WRITTEN));
        table.limited(of("audit file and log"), Value::Bytes(audit + log), limit);
        afterwards(scene, table, &bridge, &name)?;
    }
    Ok(())
}

/// A good client after an attack, which must be served.
fn afterwards(scene: &Scene, table: &mut Table, bridge: &Bridge, attack: &str) -> Result<()> {
    let prints = Prints::run(scene, bridge, 1)?;
    if let Some(error) = &prints.first_error {
        eprintln!("    a `print` failed: {error}");
    }
    let figure = format!("good `print`s that failed after {attack}");
    table.limited(figure, Value::Count(prints.failed as u64), Limit::AtMost(Value::Count(0)));
    Ok(())
}
