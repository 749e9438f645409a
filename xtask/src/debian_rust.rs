//! Debian's Rust, with the source of the standard library: it builds for targets that have no standard library ready-made
//! in Debian. rustup's would have to come from rustup's own site.

use std::path::Path;

use crate::checkout::Checkout;
use crate::failure::{Result, failure};
use crate::install::{self, Need};
use crate::run::Run;

const NEEDS: [Need; 3] = [
    Need { what: "/usr/bin/cargo", packages: &["cargo-web"] },
    Need { what: "/usr/bin/rustc", packages: &["rustc-web"] },
    Need { what: "/usr/lib/rustlib/src/rust/library", packages: &["rust-web-src"] },
];

/// Ensures that it is there, and new enough.
pub(crate) fn provide(install: bool) -> Result<()> {
    install::provide(&NEEDS, install)?;
    if install && require_new_enough().is_err() {
        install::from_security(&NEEDS)?;
    }
    require_new_enough()
}

/// Fails if the compiler is older than the workspace's rust-version.
fn require_new_enough() -> Result<()> {
    let version = Run::new("/usr/bin/rustc").arg("--version").without_env("LD_LIBRARY_PATH").text()?;
    let version = version.split(' ').nth(1).unwrap_or_default();
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    if minor(version) >= minor(wanted) {
        return Ok(());
    }
    Err(failure!(
        "/usr/bin/rustc is {version}, but {wanted} is required (Debian's rustc-web from the security archive has it)"
    ))
}

/// `cargo COMMAND` for `triple`, with results in `target`: in a common directory, two compilers would invalidate each other's.
pub(crate) fn cargo(checkout: &Checkout, command: &str, triple: &str, target: &Path) -> Run {
    // Cargo builds a standard library from source. A stable compiler does that only with RUSTC_BOOTSTRAP.
    Run::new("/usr/bin/cargo")
        .current_dir(&checkout.root)
        .args([command, "--locked", "-Zbuild-std=std,panic_abort", "--target", triple, "--target-dir"])
        .arg(target)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        // Also set in .cargo/config.toml, which a packager may not have.
        .env("AWS_LC_SYS_NO_JITTER_ENTROPY", "1")
        // Set by the cargo that runs this program, for its own compiler.
        .without_env("CARGO")
        .without_env("RUSTUP_TOOLCHAIN")
        .without_env("LD_LIBRARY_PATH")
        .without_env("RUSTFLAGS")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
}
