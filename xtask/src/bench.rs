//! `bench`: measures the figures of docs/PERFORMANCE.md with the release binaries.

use crate::checkout::Checkout;
use crate::failure::Result;
use crate::install::{self, Need};
use crate::run::{Run, step};
use crate::{dist, registries};

/// The programs in benches/programs.
const HELPERS: [&str; 4] = ["agent_client", "bare_client", "both_sides_plain", "both_sides_wiping"];

/// What the figures of HTTP credentials need.
const NEEDS: [Need; 6] = [
    Need { what: "nginx", packages: &["nginx-light", "nginx"] },
    Need { what: "fcgiwrap", packages: &["fcgiwrap"] },
    Need { what: "curl", packages: &["curl"] },
    Need { what: "socat", packages: &["socat"] },
    Need { what: "ip", packages: &["iproute2"] },
    Need { what: "tc", packages: &["iproute2"] },
];

/// `only` are parts of the names of figures; with none, all are measured.
pub(crate) fn bench(checkout: &Checkout, install: bool, only: &[String]) -> Result<()> {
    install::provide(&NEEDS, install)?;
    let registries = registries::provide(checkout, install)?;
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
        .env(registries::VARIABLE, registries)
        .env("SECRETS_BRIDGE_BENCH_ONLY", only.join(","))
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
