//! `bench`: measures the figures of docs/PERFORMANCE.md with the release binaries.

use crate::checkout::Checkout;
use crate::dist;
use crate::failure::Result;
use crate::run::{Run, step};

/// The programs in benches/programs.
const HELPERS: [&str; 4] = ["agent_client", "bare_client", "both_sides_plain", "both_sides_wiping"];

pub(crate) fn bench(checkout: &Checkout) -> Result<()> {
    let full = dist::full(checkout)?;
    let client = dist::client(checkout)?;
    step("building the programs for comparison, and the benchmark");
    let helpers = HELPERS.iter().flat_map(|helper| ["--example", helper]);
    dist::cargo(checkout, "build")?.arg("--release").args(helpers).live()?;
    bench_program(checkout).arg("--no-run").live()?;
    step("measuring");
    bench_program(checkout)
        .env("SECRETS_BRIDGE_TEST_BINARY", full)
        .env("SECRETS_BRIDGE_BENCH_CLIENT", client)
        .env("SECRETS_BRIDGE_BENCH_PROGRAMS", dist::release(checkout).join("examples"))
        .live()
}

/// The program that measures the others. It is not measured itself, so it need not be built like them.
fn bench_program(checkout: &Checkout) -> Run {
    checkout
        .cargo()
        .args(["bench", "--locked", "--package", "secrets-bridge", "--bench", "figures"])
        .env("CARGO_PROFILE_BENCH_LTO", "off")
}
