//! `bench`: the figures, measured on the binaries that are published.

use crate::dist;
use crate::failure::Result;
use crate::places::Places;
use crate::run::step;

pub(crate) fn bench(places: &Places) -> Result<()> {
    let full = dist::full(places)?;
    let client = dist::client(places)?;
    step("measuring");
    places
        .cargo()
        .args(["bench", "--locked", "--bench", "figures"])
        .env("SECRETS_BRIDGE_TEST_BINARY", full)
        .env("SECRETS_BRIDGE_BENCH_CLIENT", client)
        .live()
}
