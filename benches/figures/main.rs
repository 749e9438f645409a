//! Measures the figures of `docs/PERFORMANCE.md` and prints them with their limits. Nothing is asserted: on a busy or
//! different machine an assertion would fail for no reason.
//!
//! `cargo xtask bench` builds the measured programs, and runs this.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a program for developers: it prints a table, and may panic"
)]

mod agents;
mod bare_server;
#[path = "../programs/bare_tls.rs"]
mod bare_tls;
mod delay_proxy;
mod http;
mod machine;
mod measure;
mod programs;
mod safeguards;
mod scan;
#[path = "../../tests/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "the servers of the tests are those of the figures; the rest of that harness is not used"
)]
mod support;
mod table;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use proto::{BridgeConf, ClientSeed, Endpoint, Pin};
use tempfile::TempDir;

use measure::{median, median_time, pairs};
use programs::{Bridge, Programs, run, run_for_memory, text};
use table::{Table, Value};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The largest secret of the figures.
const LARGE: usize = 100_000_000;
/// Makes a bridge listen on this machine only.
const LOOPBACK: &str = "--listen=127.0.0.1:0";
/// Delay in each direction where round trips are counted.
const DELAY: Duration = Duration::from_millis(25);
/// A few secrets, and many.
const FEW: usize = 10;
const MANY: usize = 500;

/// Adds the rows of one part.
type Part<'a> = &'a dyn Fn(&mut Table) -> Result<()>;

fn main() -> Result<()> {
    let programs = Programs::from_env()?;
    let home = TempDir::new()?;
    let large = large_secret(home.path())?;
    let mut table = Table::default();

    let parts: [(&str, Part<'_>); 12] = [
        ("print", &|table| small_secret(&programs, table)),
        ("print round trips", &|table| round_trips(&programs, table)),
        ("serve", &|table| start(&programs, table)),
        ("conf", &|table| conf(table)),
        ("signatures", &|table| agents::signatures(&programs, table)),
        ("print of a large secret", &|table| large_one(&programs, &large, table)),
        ("masking", &|table| safeguards::masking(&programs, &large, table)),
        ("leak check", &|table| {
            safeguards::leak_check(&programs, home.path(), table)?;
            safeguards::leak_check_of_written(&programs, home.path(), table)
        }),
        ("scan", &|table| scan::scan(&programs, home.path(), table)),
        ("wiping", &|table| wiping(&programs, table)),
        ("http", &|table| http::figures(&programs, table)),
        ("sizes", &|table| sizes(&programs, table)),
    ];
    let only = std::env::var("SECRETS_BRIDGE_BENCH_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for (name, measure) in parts {
        if only.is_empty() || only.iter().any(|part| name.contains(part)) {
            eprintln!("{name} …");
            measure(&mut table)?;
        }
    }

    println!("{}\n\n{table}", machine::describe());
    Ok(())
}

/// `print` as a whole process, alternating with the bare client.
fn small_secret(programs: &Programs, table: &mut Table) -> Result<()> {
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--secret", "TOKEN=a small secret"])?;
    let printed = programs.print(&bridge.conf, "TOKEN").stdout(std::process::Stdio::piped()).output()?;
    if printed.stdout != b"a small secret" {
        return Err("print does not print the secret".into());
    }
    let bare_conf = bare_server::listen()?;
    let times =
        pairs(400, || run(programs.print(&bridge.conf, "TOKEN")), || run(programs.bare_client(&bare_conf)))?;
    let print = median(times.iter().map(|(print, _)| *print));
    let bare = median(times.iter().map(|(_, bare)| *bare));
    let ratio = median(times.iter().map(|(print, bare)| print.as_secs_f64() / bare.as_secs_f64()));
    table.limited("`print` of a small secret, whole process", ms(2.5), Value::Time(print));
    table.noted("bare rustls client, one exchange, whole process", Value::Time(bare));
    table.limited(
        "ratio of `print` to the bare client, pair by pair",
        Value::Ratio(1.25),
        Value::Ratio(ratio),
    );
    Ok(())
}

/// Round trips to the bridge, after TCP's own handshake.
fn round_trips(programs: &Programs, table: &mut Table) -> Result<()> {
    let keys: Vec<String> =
        (0..MANY).map(|number| format!("A_NAME_AS_LONG_AS_NAMES_MAY_BE_{number:03}")).collect();
    let variables: Vec<_> = keys.iter().map(|key| (key.clone(), format!("the value of {key}"))).collect();
    let secrets = keys.iter().flat_map(|key| ["--secret", key]);
    let bridge = Bridge::serve(programs, &variables, secrets.chain([LOOPBACK]))?;
    let port = bridge.port()?;
    let near = bridge.conf_at(delay_proxy::listen(port, Duration::ZERO)?)?;
    let far = bridge.conf_at(delay_proxy::listen(port, DELAY)?)?;
    let count = |command: &dyn Fn(&str) -> std::process::Command| -> Result<Value> {
        let times = pairs(25, || run(command(&near)), || run(command(&far)))?;
        let extra = |(near, far): &(Duration, Duration)| far.as_secs_f64() - near.as_secs_f64();
        Ok(Value::RoundTrips(median(times.iter().map(extra)) / (2.0 * DELAY.as_secs_f64())))
    };
    let two = Value::RoundTrips(2.0);
    let print = count(&|conf| programs.print(conf, &keys[0]))?;
    table.limited("`print`: round trips after TCP", two, print);
    let exec = count(&|conf| programs.exec(conf, &keys[..FEW]))?;
    table.limited(format!("`exec -e` with {FEW} secrets: round trips after TCP"), two, exec);
    let exec = count(&|conf| programs.exec(conf, &keys))?;
    table.noted(format!("`exec -e` with {MANY} secrets: round trips after TCP"), exec);
    Ok(())
}

/// From the start of `serve` until it prints the conf; it accepts connections by then.
fn start(programs: &Programs, table: &mut Table) -> Result<()> {
    let none: [&str; 0] = [];
    let bare = median_time(50, || Bridge::serve(programs, &[], none))?;
    table.limited("`serve`, until it accepts connections", ms(10.0), Value::Time(bare));
    let token = [("TOKEN".to_owned(), "a small secret".to_owned())];
    let with_one = median_time(50, || Bridge::serve(programs, &token, ["--secret", "TOKEN"]))?;
    table.limited("`serve --secret TOKEN`, until it accepts connections", ms(10.0), Value::Time(with_one));
    Ok(())
}

/// The longest conf that a bridge creates without `--endpoint`.
fn conf(table: &mut Table) -> Result<()> {
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    let addresses = [IpAddr::from([203, 0, 113, 7]), v6(1), v6(2), v6(3)];
    let conf = BridgeConf {
        expiry: Some(u32::MAX.into()),
        port: u16::MAX,
        pin: Pin([0xff; 32]),
        client_seed: ClientSeed::new([0xff; 32]),
        endpoints: addresses.into_iter().map(Endpoint::Address).collect(),
    };
    let characters = text(&conf)?.len();
    let figure = "conf with four endpoints, three of them IPv6: characters";
    table.limited(figure, Value::Characters(200), Value::Characters(characters));
    Ok(())
}

/// 100 MB: time, and memory on both sides.
fn large_one(programs: &Programs, large: &Path, table: &mut Table) -> Result<()> {
    let source = format!("id=LARGE,src={}", large.display());
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--secret", &source])?;
    let print = || programs.print(&bridge.conf, "LARGE");
    let took = median_time(25, || run(print()))?;
    table.limited("`print` of 100 MB to /dev/null, whole process", ms(120.0), Value::Time(took));
    let peaks = (0..9).map(|_| run_for_memory(print())).collect::<Result<Vec<_>>>()?;
    let peak = peaks.into_iter().max().unwrap_or_default();
    table.limited("the client's peak memory in that, maximum of 9 runs", megabytes(10.0), bytes(peak));

    let beyond = bridge.peak_memory()?.saturating_sub(LARGE as u64);
    let small = Bridge::serve(programs, &[], [LOOPBACK, "--secret", "TOKEN=a small secret"])?;
    run(programs.print(&small.conf, "TOKEN"))?;
    let small = small.peak_memory()?;
    let figure =
        "the host's peak memory in that, without the secret and what a bridge with a small secret needs";
    table.limited(figure, megabytes(4.0), bytes(beyond.saturating_sub(small)));
    table.noted("the host's peak memory with a small secret, after one `print`", bytes(small));
    Ok(())
}

/// The cost of wiping freed memory, on both sides together.
fn wiping(programs: &Programs, table: &mut Table) -> Result<()> {
    let took = |allocator: &str, length, runs_each| -> Result<f64> {
        let mut command = programs.both_sides(allocator, length, runs_each);
        let output = command.stderr(std::process::Stdio::piped()).output()?;
        Ok(String::from_utf8(output.stderr)?.trim().parse()?)
    };
    for (what, length, runs_each) in [("a small secret", 14, 100), ("100 MB", LARGE, 3)] {
        let runs =
            (0..9).map(|_| Ok((took("wiping", length, runs_each)?, took("plain", length, runs_each)?)));
        let runs = runs.collect::<Result<Vec<_>>>()?;
        let ratio = median(runs.iter().map(|(wiping, plain)| wiping / plain));
        let plain = median(runs.iter().map(|(_, plain)| *plain));
        let figure = format!("both sides in one process, {what}, freed memory not wiped");
        table.noted(figure, Value::Time(Duration::from_secs_f64(plain / 1e6)));
        table.noted("ratio with wiping to that", Value::Ratio(ratio));
    }
    Ok(())
}

fn sizes(programs: &Programs, table: &mut Table) -> Result<()> {
    table.limited("static binary", megabytes(5.3), bytes(fs::metadata(&programs.full)?.len()));
    table.limited(
        "static binary, client only",
        megabytes(3.95),
        bytes(fs::metadata(&programs.client)?.len()),
    );
    Ok(())
}

/// A file of 100 MB without long repetitions.
fn large_secret(home: &Path) -> Result<std::path::PathBuf> {
    let path = home.join("large");
    let mut file = File::create(&path)?;
    let mut state = 1u64;
    let mut block = Vec::new();
    for _ in 0..LARGE / 1_000_000 {
        block.clear();
        while block.len() < 1_000_000 {
            // xorshift64 (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(path)
}

fn ms(milliseconds: f64) -> Value {
    Value::Time(Duration::from_secs_f64(milliseconds / 1e3))
}

fn megabytes(number: f64) -> Value {
    Value::Megabytes(number)
}

fn bytes(number: u64) -> Value {
    Value::Megabytes(number as f64 / 1e6)
}
