//! `test`: shows whether this build reaches the bridge, and what that offers.

use std::ffi::OsStr;
use std::time::Duration;

use bridge_client::TestReport;
use clap::Args;
use proto::Key;
use proto::http::Origin;
use serde::Serialize;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ConnectOptions;
use crate::failure::Failure;
use crate::messages;
use crate::runtime::block_on;
use crate::values::{self, Format};

#[derive(Debug, Args)]
#[command(after_help = "\
A test is not a session: `--once` and `--max-sessions` of the bridge do not count it. The origins are the servers that have a \
rule for HTTP requests (`exec --http`).

Examples:
  RUN secrets-bridge test
  RUN secrets-bridge test --format json")]
pub(crate) struct Test {
    /// Print the report as text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// As JSON.
#[derive(Serialize)]
struct Report<'a> {
    answered: Vec<Answered<'a>>,
    failed: Vec<Failed<'a>>,
    keys: Vec<&'a str>,
    agents: Vec<&'a str>,
    /// `host:port` of each server that has a rule for HTTP requests.
    origins: Vec<String>,
}

#[derive(Serialize)]
struct Answered<'a> {
    endpoint: &'a str,
    milliseconds: f64,
}

#[derive(Serialize)]
struct Failed<'a> {
    endpoint: &'a str,
    cause: String,
}

impl ConfCommand for Test {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let format = values::format(self.format.as_deref())?;
        let client = self.connect.client(conf)?;
        let report = block_on(client.test())??;
        match format {
            Format::Text => text(&report)?,
            Format::Json => json(&report)?,
        }
        Ok(0)
    }
}

fn text(report: &TestReport) -> Result<(), Failure> {
    for reached in &report.answered {
        messages::data(&format!("{}  answered in {:.1} ms", reached.endpoint, milliseconds(reached.took)))?;
    }
    for attempt in &report.failed {
        messages::data(&attempt.to_string())?;
    }
    messages::data(&format!("keys: {}", listed(report.keys.iter().map(Key::as_str))))?;
    messages::data(&format!("agents: {}", listed(report.agents.iter().map(proto::agent::AgentId::as_str))))?;
    let origins: Vec<String> = report.origins.iter().map(Origin::short).collect();
    messages::data(&format!("origins: {}", listed(origins.iter().map(String::as_str))))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn json(report: &TestReport) -> Result<(), Failure> {
    let answered = report
        .answered
        .iter()
        .map(|reached| Answered { endpoint: &reached.endpoint, milliseconds: milliseconds(reached.took) });
    let failed = report
        .failed
        .iter()
        .map(|attempt| Failed { endpoint: &attempt.endpoint, cause: attempt.cause.to_string() });
    let report = Report {
        answered: answered.collect(),
        failed: failed.collect(),
        keys: report.keys.iter().map(Key::as_str).collect(),
        agents: report.agents.iter().map(proto::agent::AgentId::as_str).collect(),
        origins: report.origins.iter().map(Origin::to_string).collect(),
    };
    let text = serde_json::to_string(&report)
        .map_err(|error| Failure::io("cannot write JSON", std::io::Error::other(error)))?;
    messages::data(&text)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
