//! Programs that the test layers need, and the Debian packages that hold them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base_image::KEYRING;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, find, step};

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Something a layer needs.
pub(crate) struct Need {
    /// A program to find in PATH, or a path that has to exist.
    pub(crate) what: &'static str,
    /// The package that holds it: the first of these that the archive knows. Releases of Debian differ.
    pub(crate) packages: &'static [&'static str],
}

impl Need {
    fn met(&self) -> bool {
        if self.what.starts_with('/') { Path::new(self.what).exists() } else { find(self.what).is_some() }
    }
}

/// Sees to it that all of `needs` are met; the failure says what is missing.
pub(crate) fn provide(needs: &[Need], install: bool) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let names = names.join(", ");
    if !install {
        return Err(failure!("{names} missing (`cargo xtask test --install` installs what it can)"));
    }
    if find("apt-get").is_none() {
        return Err(failure!("{names} missing, and there is no apt-get to install from"));
    }
    let root = Root::available()
        .ok_or_else(|| failure!("{names} missing, and this user is neither root nor served by `sudo -n`"))?;

    refresh_if_old(root);
    let mut packages: Vec<&str> = Vec::new();
    for need in &missing {
        let known = need.packages.iter().find(|package| known(package));
        let package = known.ok_or_else(|| {
            failure!("{} missing, and the archive has no package {}", need.what, need.packages.join(" or "))
        })?;
        if !packages.contains(package) {
            packages.push(package);
        }
    }
    step(format_args!("installing {}", packages.join(" ")));
    apt_install(root, &[], &packages)?;
    match needs.iter().find(|need| !need.met()) {
        None => Ok(()),
        Some(need) => Err(failure!("{} is still missing after installing {}", need.what, packages.join(" "))),
    }
}

/// Installs the packages of `needs` again, from Debian's security archive too. Newer compilers come to a release by
/// that way, and a machine made by debootstrap does not know of it. Its own sources stay as they are.
pub(crate) fn from_security(needs: &[Need]) -> Result<()> {
    let root = Root::available().ok_or_else(|| failure!("installing needs root or `sudo -n`"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| release.lines().find_map(|line| line.strip_prefix(name));
    let (Some("debian"), Some(codename)) = (field("ID="), field("VERSION_CODENAME=")) else {
        return Err(failure!("this machine is no Debian with a release name"));
    };
    step(format_args!("looking into {codename}-security"));

    let scratch = tempfile::tempdir().while_doing("make a temporary directory")?;
    let (parts, lists) = (scratch.path().join("sources.list.d"), scratch.path().join("lists"));
    for made in [&parts, &lists] {
        fs::create_dir_all(made).while_doing(format_args!("make {}", made.display()))?;
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
        // The unprivileged user that apt changes to could not write there.
        "APT::Sandbox::User=".to_owned(),
    ]
    .map(|option| format!("-o{option}"));
    root.run("apt-get").args(&options).args(["update", "--quiet=2"]).text()?;
    let packages: Vec<&str> = needs.iter().filter_map(|need| need.packages.first().copied()).collect();
    let installed = apt_install(root, &options, &packages);
    // Root's files: only root can remove them.
    root.run("rm").arg("-rf").arg(&lists).succeeds();
    installed
}

/// `--no-remove`: the Debian toolchain for Windows conflicts with some others, and a test may not remove anything.
fn apt_install(root: Root, options: &[String], packages: &[&str]) -> Result<()> {
    root.run("env")
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet=2"])
        .args(["--no-install-recommends", "--no-remove", "-oDPkg::Lock::Timeout=120"])
        .args(options)
        .args(packages)
        .text()
        .map(drop)
}

/// Whether the package lists have something to install under this name.
pub(crate) fn known(package: &str) -> bool {
    let policy =
        Run::new("apt-cache").env("LC_ALL", "C").args(["policy", package]).text().unwrap_or_default();
    policy.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
}

/// Fetches the package lists where there are none, or they are more than a day old: old ones name files that the
/// archive has replaced since.
fn refresh_if_old(root: Root) {
    let lists = Path::new("/var/lib/apt/lists");
    let none = !fs::read_dir(lists).is_ok_and(|lists| {
        lists.flatten().any(|list| list.file_name().to_string_lossy().contains("_Packages"))
    });
    // The directory's time is that of the last change; the files in it keep the time at which the archive made them.
    let changed = fs::metadata(lists).and_then(|data| data.modified()).ok();
    let recent = changed.and_then(|time| time.elapsed().ok()).is_some_and(|age| age < A_DAY);
    if none || !recent {
        step("fetching the package lists");
        // A foreign source that does not answer fails the whole command and yet leaves the rest usable; what is
        // really missing shows at once, as a package that the archive does not know.
        if let Err(failure) = root.run("apt-get").args(["update", "--quiet=2"]).text() {
            eprintln!("{failure}");
        }
    }
}
