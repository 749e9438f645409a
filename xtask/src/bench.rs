//! `bench`: measures the figures of docs/PERFORMANCE.md with the release binaries.

use crate::checkout::Checkout;
use crate::dist;
use crate::failure::Result;
use crate::run::step;

/// The programs in benches/programs.
const HELPERS: [&str; 4] = ["agent_client", "bare_client", "both_sides_plain", "both_sides_wiping"];

pub(crate) fn bench(checkout: &Checkout) -> Result<()> {
    let full = dist::full(checkout)?;
    let client = dist::client(checkout)?;
    step("building the programs for comparison, and the benchmark");
    let helpers = HELPERS.iter().flat_map(|helper| ["--example", helper]);
    dist::cargo(checkout, "build").arg("--release").args(helpers).live()?;
    dist::cargo(checkout, "bench").args(["--bench", "figures", "--no-run"]).live()?;
    step("measuring");
    dist::cargo(checkout, "bench")
        .args(["--bench", "figures"])
        .env("SECRETS_BRIDGE_TEST_BINARY", full)
        .env("SECRETS_BRIDGE_BENCH_CLIENT", client)
        .env("SECRETS_BRIDGE_BENCH_PROGRAMS", dist::release(checkout).join("examples"))
        .live()
}
