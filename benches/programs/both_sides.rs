//! Both sides of the product in one process and one thread: the client prints a secret to standard output.
//!
//! Two programs use this, one with the allocator of the product and one with the system's; only that differs.

use std::env;
use std::error::Error;
use std::future::pending;
use std::time::{Duration, Instant};

use bridge_client::Client;
use bridge_host::{
    Agents, AllowFrom, AuditTarget, Bridge, DEFAULT_MEMORY, HttpCredentials, Listen, SecretSpec, SecretStore,
    ServeConfig, Source,
};
use proto::tls::KeyExchange;
use proto::{KeyForm, Secret};
use tokio::runtime;

/// Arguments: the size of the secret in bytes, and the number of runs. Prints the median time, in microseconds, to stderr.
#[allow(clippy::print_stderr, reason = "stdout is for the secret")]
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut number = || {
        arguments.next().ok_or("usage: SECRET_BYTES RUNS")?.parse::<usize>().map_err(Box::<dyn Error>::from)
    };
    let (length, runs) = (number()?, number()?);
    let mut took =
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(length, runs))?;
    took.sort_unstable();
    eprintln!("{}", took.get(runs / 2).ok_or("no run")?.as_micros());
    Ok(())
}

async fn measure(length: usize, runs: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let form: KeyForm = "secret".parse()?;
    let bridge = Bridge::bind(&config(), store(&form, length)?, Agents::none(), HttpCredentials::none())?;
    let conf = bridge.conf().clone();
    let prints = async {
        let mut took = Vec::new();
        for _ in 0..runs {
            let began = Instant::now();
            Client::new(&conf, &[])?.print(&form).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    };
    tokio::select! {
        took = prints => took,
        (ended, _) = bridge.run(pending()) => Err(ended.reason().into()),
    }
}

fn store(form: &KeyForm, length: usize) -> Result<SecretStore, Box<dyn Error>> {
    let value = Secret::new((0..length).map(|index| (index % 251) as u8).collect());
    Ok(SecretStore::open(vec![SecretSpec {
        form: form.clone(),
        source: Source::Literal(value),
        max_reads: None,
        allow_empty: false,
        trim: false,
    }])?)
}

fn config() -> ServeConfig {
    ServeConfig {
        listen: Listen { address: Some([127, 0, 0, 1].into()), ports: 0..=0 },
        allow_from: AllowFrom::Near,
        endpoints: Vec::new(),
        key_exchange: KeyExchange::Hybrid,
        ca_key_store: None,
        lifetime: None,
        max_sessions: None,
        max_concurrent: None,
        max_memory: DEFAULT_MEMORY,
        kill_allowed: false,
        audit: AuditTarget::None,
        agent_sockets: Vec::new(),
    }
}
