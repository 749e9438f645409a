//! The load generator of `cargo xtask gauntlet`: hostile peers, and the bare servers that the bridge is compared with.
//!
//! A process of its own, so that it can run on another processor, or in another network namespace, than the bridge. It
//! prints one JSON object per line, and ends when its standard input does: it cannot outlive the gauntlet. The conf, where
//! one is needed, is in `BRIDGE_CONF`.
#![cfg(unix)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a program for developers, which sends what no client may"
)]

mod bare;
mod client_hello;
mod flood;
mod stop;

use std::env;
use std::error::Error;

use proto::BridgeConf;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: gauntlet_load flood KIND ADDRESS THREADS [HELLO_FILE]
       gauntlet_load record HELLO_FILE
       gauntlet_load bare-accept";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["flood", kind, address, threads, recorded @ ..] => {
            flood::run(kind.parse()?, address.parse()?, threads.parse()?, recorded.first().copied())
        }
        ["record", file] => client_hello::record(file),
        ["bare-accept"] => bare::accept_loop(),
        _ => Err(USAGE.into()),
    }
}

/// The conf in `BRIDGE_CONF`.
fn conf() -> Result<BridgeConf> {
    Ok(BridgeConf::parse(&env::var("BRIDGE_CONF")?)?)
}
