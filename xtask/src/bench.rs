//! `bench`: the figures, measured on the binaries that are published.

use crate::dist;
use crate::failure::Result;
use crate::places::Places;
use crate::run::step;

/// What the figures are compared with.
const HELPERS: [&str; 4] = ["agent_client", "bare_client", "both_sides_plain", "both_sides_wiping"];

pub(crate) fn bench(places: &Places) -> Result<()> {
    let full = dist::full(places)?;
    let client = dist::client(places)?;
    step("building what they are compared with, and the program that measures");
    let helpers = HELPERS.iter().flat_map(|helper| ["--example", helper]);
    dist::cargo(places, "build").arg("--release").args(helpers).live()?;
    dist::cargo(places, "bench").args(["--bench", "figures", "--no-run"]).live()?;
    step("measuring");
    dist::cargo(places, "bench")
        .args(["--bench", "figures"])
        .env("SECRETS_BRIDGE_TEST_BINARY", full)
        .env("SECRETS_BRIDGE_BENCH_CLIENT", client)
        .env("SECRETS_BRIDGE_BENCH_PROGRAMS", dist::release(places).join("examples"))
        .live()
}
