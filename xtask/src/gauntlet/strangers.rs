//! Floods by peers without the client key, from the address of the good clients and from another one.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use super::bridge::{Bridge, KEY, VALUE};
use super::good_clients::{self, Prints};
use super::load::{Load, address, per_second};
use super::memory::Watch;
use super::namespace::Link;
use super::table::{Limit, Skipped, Table, Value, median};
use crate::failure::{Result, failure};
use crate::run::{Run, step};

/// Connecting threads of every flood.
const THREADS: usize = 400;
/// What they do (benches/programs/load/flood.rs).
const KINDS: [&str; 11] = [
    "silent",
    "slow",
    "open",
    "garbage",
    "http",
    "partial",
    "records",
    "oversized",
    "no-knock",
    "replayed",
    "seen",
];
/// Knocks without end that the bridge has never got. Only a holder of the conf can make so many of them, and
/// valid handshakes that keep others waiting use up what all holders share: the times are not judged.
const BY_HOLDERS: &str = "seen";
/// What the short form does from another address.
const IN_SHORT_FORM: [&str; 3] = ["silent", "replayed", "seen"];
const SAME_ADDRESS: &str = "same address";
/// Memory that a flood may take.
const MEMORY: u64 = 12_000_000;
/// The 99th percentile of a good client's time: the flood takes the processors.
const P99: Duration = Duration::from_millis(250);
/// The rate at which strangers are turned away, compared with a loop that only accepts and closes.
const RATE: f64 = 0.8;

/// What one flood did.
struct Flood {
    kind: &'static str,
    memory: u64,
    prints: Prints,
}

pub(super) fn attack(scene: &Scene, table: &mut Table) -> Result<()> {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    floods(scene, table, SAME_ADDRESS, |bridge, arguments, port| {
        Load::start(scene, &arguments.replace("TARGET", &address(loopback, port)), &bridge.conf)
    })?;
    match Link::missing() {
        None => {
            let link = Link::new();
            floods(scene, table, "another address, over veth", |bridge, arguments, port| {
                link.start(scene, &arguments.replace("TARGET", &address(link.host, port)), &bridge.conf)
            })?;
        }
        Some(why) => table.skip(Skipped {
            attacks: "floods from another network namespace",
            need: "network-namespace",
            reason: why.to_owned(),
        }),
    }
    if scene.includes("rate") {
        rate(scene, table)?;
    }
    Ok(())
}

/// Runs every kind of flood from one address, and adds the worst of each figure to the table.
fn floods(
    scene: &Scene,
    table: &mut Table,
    from: &str,
    start: impl Fn(&Bridge, &str, u16) -> Result<Load>,
) -> Result<()> {
    let mut all = Vec::new();
    for kind in KINDS {
        let name = format!("{kind}, {from}");
        let is_run = !scene.short || from == SAME_ADDRESS || IN_SHORT_FORM.contains(&kind);
        if is_run && scene.includes(&name) {
            step(format_args!("flood: {name}"));
            all.push(flood(scene, table, kind, &name, &start)?);
        }
    }
    let Some(memory) = all.iter().map(|flood| flood.memory).max() else { return Ok(()) };
    let failed: usize = all.iter().map(|flood| flood.prints.failed).sum();
    let by_strangers = all.iter().filter(|flood| flood.kind != BY_HOLDERS);
    let p99 = by_strangers.map(|flood| flood.prints.quantile(990)).max().unwrap_or_default();
    let figure = |what: &str| format!("{what}, any flood by {THREADS} threads, {from}");
    table.limited(
        figure("memory of the bridge above idle"),
        Value::Bytes(memory),
        Limit::AtMost(Value::Bytes(MEMORY)),
    );
    table.limited(
        figure("good `print`s that failed"),
        Value::Count(failed as u64),
        Limit::AtMost(Value::Count(0)),
    );
    table.limited(figure("p99 of a good `print`"), Value::Time(p99), Limit::AtMost(Value::Time(P99)));
    Ok(())
}

fn flood(
    scene: &Scene,
    table: &mut Table,
    kind: &'static str,
    name: &str,
    start: impl Fn(&Bridge, &str, u16) -> Result<Load>,
) -> Result<Flood> {
    let bridge = Bridge::start(scene, &[""; 0])?;
    good_clients::require(scene, &bridge)?;
    let (port, recorded) = record(scene, &bridge)?;
    let idle = bridge.memory()?;
    let watch = Watch::begin(bridge.pid());
    let load = start(&bridge, &format!("flood {kind} TARGET {THREADS} {recorded}"), port)?;
    load.line()?;
    let began = Instant::now();
    thread::sleep(scene.choose(Duration::from_secs(1), Duration::from_millis(300)));
    let mut prints = Prints::run(scene, &bridge, scene.choose(200, 60))?;
    thread::sleep(
        scene.choose(Duration::from_secs(10), Duration::from_millis(1500)).saturating_sub(began.elapsed()),
    );
    let did = load.end()?;
    prints.run_afterwards(scene, &bridge)?;
    let memory = watch.end().saturating_sub(idle);
    let load = ["connections", "turned_away"]
        .map(|field| Value::PerSecond(per_second(&did, field)).to_string())
        .join(" | ");
    table.attack(name, memory, &prints, &load);
    Ok(Flood { kind, memory, prints })
}

/// Has a good client talk to the bridge through a proxy that records its ClientHello. Returns the bridge's port, and the
/// file.
fn record(scene: &Scene, bridge: &Bridge) -> Result<(u16, String)> {
    let file = scene.dir.path().join("client-hello");
    let file = file.to_str().filter(|path| !path.contains(' '));
    let file = file.ok_or_else(|| failure!("the target directory's path has a space"))?;
    let recorder = Load::start(scene, &format!("record {file}"), &bridge.conf)?;
    let line = recorder.line()?;
    let number = |field: &str| {
        line[field].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or_else(|| failure!("no {field}"))
    };
    let (proxy, port) = (number("port")?, number("bridge")?);
    let printed = Run::new(&scene.binary)
        .args(["print", KEY, "--endpoint", &format!("127.0.0.1:{proxy}")])
        .clean_env()
        .env("BRIDGE_CONF", &bridge.conf)
        .text()?;
    recorder.end()?;
    if printed != VALUE || !std::path::Path::new(file).is_file() {
        return Err(failure!("no ClientHello was recorded"));
    }
    Ok((port, file.to_owned()))
}

/// How fast strangers are turned away, compared with a loop that only accepts, reads once and closes. In turns, so that
/// other load on the machine affects both.
fn rate(scene: &Scene, table: &mut Table) -> Result<()> {
    step("the rate at which strangers are turned away");
    let (rounds, time) = scene.choose((5, Duration::from_secs(4)), (1, Duration::from_secs(1)));
    let bridge = Bridge::start(scene, &[""; 0])?;
    let (port, _) = record(scene, &bridge)?;
    let bare = Load::start_server(scene, "bare-accept")?;
    let bare_port = bare.port()?;
    let measure = |port: u16| -> Result<f64> {
        let target = address(Ipv4Addr::LOCALHOST.into(), port);
        let load = Load::start(scene, &format!("flood no-knock {target} {THREADS}"), &bridge.conf)?;
        load.line()?;
        thread::sleep(time);
        let did = load.end()?;
        Ok(per_second(&did, "turned_away"))
    };
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push((measure(port)?, measure(bare_port)?));
    }
    let turned_away = median(pairs.iter().map(|(bridge, _)| *bridge));
    let accepted = median(pairs.iter().map(|(_, bare)| *bare));
    let ratio = median(pairs.iter().map(|(bridge, bare)| bridge / bare.max(1.0)));
    table.noted("a loop that accepts, reads once and closes: connections", Value::PerSecond(accepted));
    table.noted(
        "strangers that the bridge turns away (ClientHello without knock)",
        Value::PerSecond(turned_away),
    );
    table.limited(
        "ratio of the bridge to that loop",
        Value::Ratio(ratio),
        Limit::AtLeast(Value::Ratio(RATE)),
    );
    Ok(())
}
