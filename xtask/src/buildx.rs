//! BuildKit's client, the buildx plugin, in a Docker configuration directory for tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base_image::{KEYRING, mirror};
use crate::checkout::Checkout;
use crate::docker::Daemon;
use crate::failure::{Result, While, failure};
use crate::install;
use crate::run::{Run, step};

const PACKAGE: &str = "docker-buildx";

/// A release of Debian whose plugin works with older daemons too; bookworm, the one before, has none.
const SUITE: &str = "trixie";

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

/// Extracts the plugin from Debian's package. The package is not installed: it belongs to another release.
fn fetch(config: &Path) -> Result<()> {
    step("fetching the buildx plugin from the Debian archive");
    let scratch = tempfile::tempdir().while_doing("create a temporary directory")?;
    let dir = scratch.path();
    let own_archive = if install::is_available(PACKAGE) { None } else { Some(archive(dir)?) };
    apt_get(dir, own_archive.as_deref()).args(["download", PACKAGE]).text()?;

    let deb = fs::read_dir(dir)
        .while_doing("list the downloaded package")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| failure!("apt-get download left no package"))?;
    Run::new("dpkg-deb").arg("--extract").arg(&deb).arg(dir.join("package")).text()?;
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins).while_doing(format_args!("create {}", plugins.display()))?;
    let found = ["usr/libexec/docker/cli-plugins", "usr/lib/docker/cli-plugins"]
        .map(|path| dir.join("package").join(path).join("docker-buildx"))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| failure!("{PACKAGE} does not contain the plugin"))?;
    // This copies the mode, 755, too.
    fs::copy(&found, plugins.join("docker-buildx")).while_doing("copy the buildx plugin").map(drop)
}

/// Options that make apt use one release of Debian only, with lists in `dir`. apt verifies the archive's signature and
/// the package's sum, as for the machine's own sources.
fn archive(dir: &Path) -> Result<Vec<OsString>> {
    let source = dir.join("sources.list");
    fs::write(&source, format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()))
        .while_doing("write a list of sources")?;
    let lists = dir.join("lists");
    let cache = dir.join("cache");
    for dir in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&dir).while_doing(format_args!("create {}", dir.display()))?;
    }
    let mut options = Vec::new();
    for (name, value) in [
        ("Dir::Etc::SourceList", source.as_path()),
        ("Dir::Etc::SourceParts", Path::new("/dev/null")),
        ("Dir::State::Lists", &lists),
        ("Dir::Cache", &cache),
        ("Acquire::Languages", Path::new("none")),
    ] {
        let mut option = OsString::from(format!("{name}="));
        option.push(value);
        options.extend(["-o".into(), option]);
    }
    apt_get(dir, Some(&options)).arg("update").text()?;
    Ok(options)
}

fn apt_get(dir: &Path, options: Option<&[OsString]>) -> Run {
    Run::new("apt-get")
        .current_dir(dir)
        // apt's unprivileged user could not write into our directory.
        .args(["--quiet=2", "-o", "APT::Sandbox::User="])
        .args(options.unwrap_or_default())
}
