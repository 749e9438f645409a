//! Many honest clients: thousands of sessions at once, a thousand that come at the same instant, and one after the other
//! as fast as both sides can.

use std::fs::{self, File};
use std::io::pipe;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::{Bridge, KEY};
use super::good_clients::{self, Prints};
use super::load::{Load, per_second};
use super::table::{Limit, Table, Value, median};
use super::{Scene, guarded};
use crate::failure::{Result, While, failure};
use crate::run::{Run, step};

/// Memory of a session that is held.
const MEMORY_OF_SESSION: u64 = 20_000;
/// The 99th percentile of a good client's time while sessions are held, compared with that alone.
const SLOWDOWN: f64 = 2.0;
/// Handshakes with a fetch per second, and compared with bare TLS.
const HANDSHAKES: f64 = 4_000.0;
const HANDSHAKES_RATIO: f64 = 0.7;
/// `print`, compared with an earlier binary; runs differ by some hundredths.
const NOT_SLOWER: f64 = 1.05;
/// Secrets of each client that comes at the same instant as all others.
const SECRETS: usize = 5;
/// Time for all of these: a client waits for 60 s in the bridge's line.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(scene: &Scene, table: &mut Table) -> Result<()> {
    if scene.includes("held sessions") {
        held(scene, table)?;
    }
    if scene.includes("same instant") {
        at_once(scene, table)?;
    }
    if scene.includes("handshakes") {
        handshakes(scene, table)?;
    }
    Ok(())
}

/// Sessions that are kept open.
fn held(scene: &Scene, table: &mut Table) -> Result<()> {
    let sessions: u64 = scene.choose(10_000, 1_000);
    step(format_args!("{sessions} sessions held"));
    let bridge = Bridge::start(scene, &["--max-concurrent", &(sessions + 100).to_string()])?;
    good_clients::require(scene, &bridge)?;
    let prints = scene.choose(400, 50);
    let alone = Prints::run(scene, &bridge, prints)?;
    let idle = bridge.memory()?;
    let load = Load::start(scene, &format!("hold {sessions}"), &bridge.conf)?;
    let mut line = load.line()?;
    while !line["held"].is_u64() {
        line = load.line()?;
    }
    let held = line["held"].as_u64().unwrap_or_default();
    if let Some(failure) = line["failure"].as_str().filter(|failure| !failure.is_empty()) {
        eprintln!("    the last session that did not begin: {failure}");
    }
    let memory = bridge.memory()?.saturating_sub(idle) / held.max(1);
    let meanwhile = Prints::run(scene, &bridge, prints)?;
    load.end()?;
    let of = |what: &str| format!("{sessions} sessions held: {what}");
    let none = Limit::AtMost(Value::Count(0));
    table.limited(of("missing"), Value::Count(sessions - held.min(sessions)), none);
    table.limited(of("memory each"), Value::Bytes(memory), Limit::AtMost(Value::Bytes(MEMORY_OF_SESSION)));
    table.limited(of("good `print`s that failed"), Value::Count(meanwhile.failed as u64), none);
    let [alone, meanwhile] = [alone, meanwhile].map(|prints| prints.quantile(990));
    table.noted("p99 of a `print` alone", Value::Time(alone));
    table.noted(of("p99 of a `print`"), Value::Time(meanwhile));
    table.limited(
        of("ratio of that to a `print` alone"),
        Value::Ratio(meanwhile.as_secs_f64() / alone.as_secs_f64()),
        Limit::AtMost(Value::Ratio(SLOWDOWN)),
    );
    Ok(())
}

/// Clients that all start at the same instant.
fn at_once(scene: &Scene, table: &mut Table) -> Result<()> {
    let clients = scene.choose(1_000, 300);
    step(format_args!("{clients} clients at the same instant"));
    let keys: Vec<String> = (0..SECRETS).map(|number| format!("KEY_{number}")).collect();
    let secrets: Vec<String> = keys.iter().map(|key| format!("{key}=the value of {key}")).collect();
    let options: Vec<&str> = secrets.iter().flat_map(|secret| ["--secret", secret]).collect();
    let bridge = Bridge::start(scene, &options)?;
    let wanted = keys.iter().flat_map(|key| ["-e", key]);
    // They start when the writing end is closed.
    let (reader, writer) = pipe().while_doing("create a pipe")?;
    let log = scene.dir.path().join("clients");
    let written = log.clone();
    let log = File::create(log).while_doing("create a file")?;
    let mut waiting = Vec::new();
    for _ in 0..clients {
        let gate = reader.try_clone().while_doing("share a pipe")?;
        let client = scene
            .cpus
            .on_all("sh")
            .args(["-c", r#"read _; exec "$@""#, "sh"])
            .arg(&scene.binary)
            .args(["exec", "--no-mask", "--leaks=off"])
            .args(wanted.clone())
            .args(["--", "/bin/true"])
            .clean_env()
            .env("BRIDGE_CONF", &bridge.conf)
            .input(gate)
            .output(Stdio::null())
            .errors(log.try_clone().while_doing("share a file")?);
        waiting.push(client.spawn()?);
    }
    let began = Instant::now();
    drop(writer);
    let mut served = 0;
    for mut client in waiting {
        let status = loop {
            match client.try_wait().while_doing("wait for a client")? {
                Some(status) => break Some(status),
                None if began.elapsed() > PATIENCE => break None,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        if status.is_none() {
            let _ = (client.kill(), client.wait());
        }
        served += u64::from(status.is_some_and(|status| status.success()));
    }
    let said = fs::read_to_string(written).unwrap_or_default();
    if let Some(error) = said.lines().find(|line| served < clients && !line.ends_with('…')) {
        eprintln!("    a client failed: {error}");
    }
    let figure =
        |what: &str| format!("{clients} clients at the same instant, {SECRETS} secrets each: {what}");
    table.limited(figure("not served"), Value::Count(clients - served), Limit::AtMost(Value::Count(0)));
    table.noted(figure("time"), Value::Time(began.elapsed()));
    Ok(())
}

/// `print` of the attacked binary and of an earlier one, each with a bridge of its own, in turns.
pub(super) fn compare(scene: &Scene, table: &mut Table, before: &Path) -> Result<()> {
    step("`print`, compared with an earlier binary");
    let bridges = (Bridge::start(scene, &[""; 0])?, Bridge::start_of(scene, before)?);
    let time = |binary: &Path, bridge: &Bridge| {
        let print = Run::new(binary).args(["print", KEY]).clean_env().env("BRIDGE_CONF", &bridge.conf);
        let began = Instant::now();
        let printed = print.succeeds();
        let time = began.elapsed().as_secs_f64();
        if printed { Ok(time) } else { Err(failure!("`{} print` fails", binary.display())) }
    };
    let mut pairs = Vec::new();
    for _ in 0..scene.choose(1_000, 50) {
        pairs.push((time(&scene.binary, &bridges.0)?, time(before, &bridges.1)?));
    }
    let seconds =
        |values: &mut dyn Iterator<Item = f64>| Value::Time(Duration::from_secs_f64(median(values)));
    table.noted("`print`, whole process", seconds(&mut pairs.iter().map(|(now, _)| *now)));
    table.noted(
        "`print` of the earlier binary, whole process",
        seconds(&mut pairs.iter().map(|(_, before)| *before)),
    );
    table.limited(
        "ratio of `print` to that",
        Value::Ratio(median(pairs.iter().map(|(now, before)| now / before))),
        Limit::AtMost(Value::Ratio(NOT_SLOWER)),
    );
    Ok(())
}

/// Handshakes with one fetch, compared with a server that only completes the handshake and answers once.
fn handshakes(scene: &Scene, table: &mut Table) -> Result<()> {
    step("handshakes with a fetch");
    let (rounds, time) = scene.choose((5, Duration::from_secs(4)), (1, Duration::from_secs(1)));
    let bridge = Bridge::start(scene, &[""; 0])?;
    let bare = Load::spawn(guarded(scene.cpus.bridge, &scene.load).arg("bare-tls"))?;
    let line = bare.line()?;
    let bare_conf = line["conf"].as_str().ok_or_else(|| failure!("the bare server printed no conf"))?;
    let run = |server: &str, conf: &str| -> Result<f64> {
        let load = Load::start(scene, &format!("exchange {server}"), conf)?;
        load.line()?;
        thread::sleep(time);
        let did = load.end()?;
        match did["failed"].as_u64() {
            Some(0) => {}
            failed => eprintln!("    {failed:?} exchanges failed"),
        }
        Ok(per_second(&did, "done"))
    };
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push((run("bridge", &bridge.conf)?, run("bare", bare_conf)?));
    }
    table.noted(
        "handshakes with an exchange by bare rustls, two processors",
        Value::PerSecond(median(pairs.iter().map(|(_, bare)| *bare))),
    );
    table.limited(
        "handshakes with a fetch, two processors shared with the clients",
        Value::PerSecond(median(pairs.iter().map(|(bridge, _)| *bridge))),
        Limit::AtLeast(Value::PerSecond(HANDSHAKES)),
    );
    table.limited(
        "ratio of that to bare rustls",
        Value::Ratio(median(pairs.iter().map(|(bridge, bare)| bridge / bare.max(1.0)))),
        Limit::AtLeast(Value::Ratio(HANDSHAKES_RATIO)),
    );
    Ok(())
}
