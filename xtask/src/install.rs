//! Programs that the test layers need, and the Debian packages that contain them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base_image::KEYRING;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, find, step};

const MAX_LIST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A program or file that a layer needs.
pub(crate) struct Need {
    /// The name of a program in PATH, or an absolute path.
    pub(crate) what: &'static str,
    /// The packages that contain it in different releases of Debian. The first one that exists is installed.
    pub(crate) packages: &'static [&'static str],
}

impl Need {
    fn is_met(&self) -> bool {
        if self.what.starts_with('/') { Path::new(self.what).exists() } else { find(self.what).is_some() }
    }
}

/// Ensures that all `needs` are met, and installs packages if `install` is set.
///
/// # Errors
/// If something is missing. The error names it.
pub(crate) fn provide(needs: &[Need], install: bool) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let names = names.join(", ");
    if !install {
        return Err(failure!("{names} missing (`--install` installs packages)"));
    }
    if find("apt-get").is_none() {
        return Err(failure!("{names} missing, and cannot be installed without apt-get"));
    }
    let root =
        Root::available().ok_or_else(|| failure!("{names} missing; installing needs root or `sudo -n`"))?;

    refresh_if_old(root);
    let mut packages: Vec<&str> = Vec::new();
    for need in &missing {
        let available = need.packages.iter().find(|package| is_available(package));
        let package = available.ok_or_else(|| {
            failure!("{} missing, and no package source has {}", need.what, need.packages.join(" or "))
        })?;
        if !packages.contains(package) {
            packages.push(package);
        }
    }
    step(format_args!("installing {}", packages.join(" ")));
    apt_install(root, &[], &packages)?;
    match needs.iter().find(|need| !need.is_met()) {
        None => Ok(()),
        Some(need) => Err(failure!("{} is still missing after installing {}", need.what, packages.join(" "))),
    }
}

/// Upgrades the first package of each of `needs`, also from Debian's security archive. Debian publishes newer compilers for a
/// release there, and machines made by debootstrap lack that source. The sources of the machine are not changed.
pub(crate) fn from_security(needs: &[Need]) -> Result<()> {
    let root = Root::available().ok_or_else(|| failure!("installing needs root or `sudo -n`"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| release.lines().find_map(|line| line.strip_prefix(name));
    let (Some("debian"), Some(codename)) = (field("ID="), field("VERSION_CODENAME=")) else {
        return Err(failure!("this machine does not run a release of Debian (/etc/os-release)"));
    };
    step(format_args!("fetching the package lists of {codename}-security"));

    let scratch = tempfile::tempdir().while_doing("create a temporary directory")?;
    let (parts, lists) = (scratch.path().join("sources.list.d"), scratch.path().join("lists"));
    for dir in [&parts, &lists] {
        fs::create_dir_all(dir).while_doing(format_args!("create {}", dir.display()))?;
    }
    let own =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    for source in own.chain([PathBuf::from("/etc/apt/sources.list")]) {
        if let (Some(name), true) = (source.file_name(), source.is_file()) {
            fs::copy(&source, parts.join(name)).while_doing(format_args!("copy {}", source.display()))?;
        }
    }
    let line =
        format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian-security {codename}-security main\n");
    fs::write(parts.join("secrets-bridge-test.list"), line).while_doing("write a list of sources")?;
    let options = [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", parts.display()),
        format!("Dir::State::Lists={}", lists.display()),
        // apt's unprivileged user could not write to that directory.
        "APT::Sandbox::User=".to_owned(),
    ]
    .map(|option| format!("-o{option}"));
    root.run("apt-get").args(&options).args(["update", "--quiet=2"]).text()?;
    let packages: Vec<&str> = needs.iter().filter_map(|need| need.packages.first().copied()).collect();
    let installed = apt_install(root, &options, &packages);
    // The files belong to root: only root can remove them.
    root.run("rm").arg("-rf").arg(&lists).succeeds();
    installed
}

/// Never removes a package (`--no-remove`), although Debian's toolchain for Windows conflicts with some.
fn apt_install(root: Root, options: &[String], packages: &[&str]) -> Result<()> {
    root.run("env")
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet=2"])
        .args(["--no-install-recommends", "--no-remove", "-oDPkg::Lock::Timeout=120"])
        .args(options)
        .args(packages)
        .text()
        .map(drop)
}

/// Whether the package lists have a version of `package` to install.
pub(crate) fn is_available(package: &str) -> bool {
    let policy =
        Run::new("apt-cache").env("LC_ALL", "C").args(["policy", package]).text().unwrap_or_default();
    policy.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
}

/// Fetches the package lists if there are none or they are more than a day old: old lists name files that the archive has
/// replaced since.
fn refresh_if_old(root: Root) {
    let lists = Path::new("/var/lib/apt/lists");
    let exist = fs::read_dir(lists).is_ok_and(|lists| {
        lists.flatten().any(|list| list.file_name().to_string_lossy().contains("_Packages"))
    });
    // The modification time of the directory is the time of the last fetch. The files in it keep the archive's times.
    let changed = fs::metadata(lists).and_then(|data| data.modified()).ok();
    let recent = changed.and_then(|time| time.elapsed().ok()).is_some_and(|age| age < MAX_LIST_AGE);
    if !exist || !recent {
        step("fetching the package lists");
        // One unreachable source fails the whole command, but the lists of the others are usable. If a list that is needed is
        // missing, the caller reports that there is no such package.
        if let Err(failure) = root.run("apt-get").args(["update", "--quiet=2"]).text() {
            eprintln!("{failure}");
        }
    }
}
