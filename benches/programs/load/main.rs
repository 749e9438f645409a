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

mod agent;
mod archives;
mod bare;
#[path = "../bare_tls.rs"]
mod bare_tls;
mod client;
mod client_hello;
mod flood;
mod holders;
mod hostile_bridge;
mod sessions;
mod stop;

use std::env;
use std::error::Error;

use aws_lc_rs::rand::fill;
use proto::BridgeConf;
use proto::knock::Nonce;
use proto::tls::{ClientTls, client_config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: gauntlet_load flood KIND ADDRESS THREADS [HELLO_FILE]
       gauntlet_load record HELLO_FILE
       gauntlet_load bare-accept
       gauntlet_load bare-tls
       gauntlet_load hold COUNT
       gauntlet_load exchange bridge|bare
       gauntlet_load holders KIND COUNT
       gauntlet_load hostile-bridge KIND
       gauntlet_load agent SOCKET
       gauntlet_load archive KIND FILE";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    raise_descriptor_limit()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["flood", kind, address, threads, recorded @ ..] => {
            flood::run(kind.parse()?, address.parse()?, threads.parse()?, recorded.first().copied())
        }
        ["record", file] => client_hello::record(file),
        ["holders", kind, count] => holders::run(kind.parse()?, count.parse()?),
        ["hostile-bridge", kind] => hostile_bridge::serve(kind.parse()?),
        ["archive", kind, file] => archives::write(kind.parse()?, file),
        ["agent", socket] => agent::listen(socket),
        ["hold", count] => sessions::hold(count.parse()?),
        ["exchange", server] => sessions::exchange(server),
        ["bare-tls"] => bare::tls(),
        ["bare-accept"] => bare::accept_loop(),
        _ => Err(USAGE.into()),
    }
}

fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// What has the conf in `BRIDGE_CONF`.
struct Peer {
    conf: BridgeConf,
    tls: ClientTls,
}

impl Peer {
    fn from_env() -> Result<Self> {
        let conf = BridgeConf::parse(&env::var("BRIDGE_CONF")?)?;
        let tls = client_config(conf.pin, &conf.client_seed)?;
        Ok(Self { conf, tls })
    }

    /// The TLS configuration of one connection, with a new knock.
    fn tls(&self) -> Result<ClientConfig> {
        let mut nonce = Nonce([0; 8]);
        fill(&mut nonce.0)?;
        Ok(self.tls.for_connection(nonce))
    }
}
