//! The base image of tests. It is not pulled from a registry: debootstrap makes it from the Debian archive.

use std::fs;
use std::path::PathBuf;

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, step};

const SUITE: &str = "bookworm";
const INCLUDED: &str = "ca-certificates,curl,git,gosu,openssh-client,python3-pip,sudo";

/// The keys with which debootstrap verifies the archive.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A tar archive of the root file system, which is created once and cached.
pub(crate) fn tar(checkout: &Checkout) -> Result<PathBuf> {
    let cached = checkout.cache_dir("base")?.join(format!("{SUITE},{INCLUDED}.tar"));
    if cached.is_file() {
        return Ok(cached);
    }
    let root = Root::available()
        .ok_or_else(|| failure!("cannot create a base image: debootstrap needs root or `sudo -n`"))?;
    step(format_args!("creating a base image of Debian {SUITE} with debootstrap: about a minute"));

    // Not under target/: debootstrap refuses file systems mounted with nodev, and target/ may be on one.
    let scratch = tempfile::Builder::new()
        .prefix("secrets-bridge-base.")
        .tempdir_in("/var/tmp")
        .while_doing("create a directory in /var/tmp")?;
    let created = root
        .run("debootstrap")
        .args(["--variant=minbase", &format!("--include={INCLUDED}"), &format!("--keyring={KEYRING}")])
        .arg(SUITE)
        .arg(scratch.path().join("root"))
        .arg(mirror())
        .text();
    let packed = created.and_then(|_output| {
        let partial = cached.with_extension("partial");
        root.run("tar")
            .args([
                "--create",
                "--numeric-owner",
                "--exclude=./var/cache/apt/*",
                "--exclude=./var/lib/apt/lists/*",
            ])
            // Containers get their own /dev, and ordinary users cannot extract device files.
            .args(["--exclude=./dev/*", "--directory"])
            .arg(scratch.path().join("root"))
            .arg(".")
            .write_to(&partial)?;
        // Renamed only when it is complete.
        fs::rename(&partial, &cached).while_doing(format_args!("create {}", cached.display()))
    });
    // The files belong to root: only root can remove them.
    let _ = root.run("rm").args(["-rf", "--one-file-system"]).arg(scratch.path().join("root")).succeeds();
    packed.map(|()| cached)
}

/// The mirror in this machine's apt sources if it runs Debian, because it may not reach other mirrors. Otherwise the default.
pub(crate) fn mirror() -> String {
    let fields = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
    let targets =
        Run::new("apt-get").args(["indextargets", "--format", fields, "Created-By: Packages"]).text();
    targets
        .unwrap_or_default()
        .lines()
        .find_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
            // debootstrap cannot use apt's mirror lists and discs.
            ["Debian", SUITE, "main", address] if address.starts_with("http") => Some((*address).to_owned()),
            _ => None,
        })
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}
