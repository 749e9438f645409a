//! BuildKit's client, the buildx plugin, in a Docker configuration directory for tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::docker::Daemon;
use crate::failure::{Result, While, failure};
use crate::newer_debian;

/// The DOCKER_CONFIG of tests. It is not the user's: a proxy or a credential helper there would change builds.
pub(crate) fn docker_config(checkout: &Checkout) -> Result<PathBuf> {
    checkout.cache_dir("docker-config")
}

/// Ensures that `daemon` builds with BuildKit.
///
/// # Errors
/// Why it does not.
pub(crate) fn provide(checkout: &Checkout, daemon: &Daemon, install: bool) -> Result<()> {
    let config = docker_config(checkout)?;
    // Finds the machine's own plugin too.
    if !daemon.docker().env("DOCKER_CONFIG", &config).args(["buildx", "version"]).succeeds() {
        if !install {
            return Err(failure!("no buildx plugin (`cargo xtask test --install` fetches it)"));
        }
        fetch(&config)?;
    }
    let scratch = tempfile::tempdir().while_doing("create a temporary directory")?;
    fs::write(scratch.path().join("Dockerfile"), "FROM scratch\nLABEL probe=1\n")
        .while_doing("write a Dockerfile")?;
    daemon
        .docker()
        .env("DOCKER_CONFIG", &config)
        .env("DOCKER_BUILDKIT", "1")
        .args(["build", "--quiet"])
        .arg(scratch.path())
        .text()
        .map(drop)
}

/// Takes the plugin from Debian's package. The package is not installed: it belongs to another release.
fn fetch(config: &Path) -> Result<()> {
    let package = newer_debian::unpack("docker-buildx")?;
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins).while_doing(format_args!("create {}", plugins.display()))?;
    let found = ["usr/libexec/docker/cli-plugins", "usr/lib/docker/cli-plugins"]
        .map(|path| package.path().join(path).join("docker-buildx"))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| failure!("the package docker-buildx does not contain the plugin"))?;
    // This copies the mode, 755, too.
    fs::copy(&found, plugins.join("docker-buildx")).while_doing("copy the buildx plugin").map(drop)
}
