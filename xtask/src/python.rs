//! Virtual environments of Python, in which pinned releases from PyPI are installed.

use std::path::Path;

use crate::failure::Result;
use crate::install::{self, Need};
use crate::run::{Run, find};

const TO_INSTALL: [Need; 1] = [Need { what: "python3", packages: &["python3"] }];
/// Debian's python3 makes virtual environments only with this package.
const TO_MAKE_AN_ENVIRONMENT: [Need; 1] =
    [Need { what: "/var/lib/dpkg/info/python3-venv.list", packages: &["python3-venv"] }];

/// Makes a virtual environment at `dir`, which must not exist.
pub(crate) fn make_environment(dir: &Path, install: bool) -> Result<()> {
    install::provide(&TO_INSTALL, install)?;
    if find("python3").is_some_and(|python| python.starts_with("/usr/bin")) {
        install::provide(&TO_MAKE_AN_ENVIRONMENT, install)?;
    }
    Run::new("python3").args(["-m", "venv"]).arg(dir).text().map(drop)
}

/// `pip install` into the environment at `dir`.
pub(crate) fn pip_install(dir: &Path) -> Run {
    Run::new(dir.join("bin/pip")).args(["--disable-pip-version-check", "install", "--quiet"])
}
