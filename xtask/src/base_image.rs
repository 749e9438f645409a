//! The root file system that test images start from. Nothing is pulled: debootstrap makes it from the Debian archive.

use std::fs;
use std::path::PathBuf;

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, step};

const SUITE: &str = "bookworm";
const INCLUDED: &str = "ca-certificates,curl,git,openssh-client,python3-pip";

/// What debootstrap checks the archive's signature with.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A tar of the root file system. It is made once, and kept.
pub(crate) fn tar(checkout: &Checkout) -> Result<PathBuf> {
    let kept = checkout.cache_dir("base")?.join(format!("{SUITE},{INCLUDED}.tar"));
    if kept.is_file() {
        return Ok(kept);
    }
    let root = Root::available().ok_or_else(|| failure!("making a base image needs root or `sudo -n`"))?;
    step(format_args!("making a base image of Debian {SUITE} with debootstrap: about a minute"));

    // Not under target/: debootstrap refuses file systems without devices, and ours may be mounted like that.
    let scratch = tempfile::Builder::new()
        .prefix("secrets-bridge-base.")
        .tempdir_in("/var/tmp")
        .while_doing("make a directory in /var/tmp")?;
    let made = root
        .run("debootstrap")
        .args(["--variant=minbase", &format!("--include={INCLUDED}"), &format!("--keyring={KEYRING}")])
        .arg(SUITE)
        .arg(scratch.path().join("root"))
        .arg(mirror())
        .text();
    let packed = made.and_then(|_said| {
        let partial = kept.with_extension("partial");
        root.run("tar")
            .args([
                "--create",
                "--numeric-owner",
                "--exclude=./var/cache/apt/*",
                "--exclude=./var/lib/apt/lists/*",
            ])
            // The container's own devices take their place, and an ordinary user could not unpack these.
            .args(["--exclude=./dev/*", "--directory"])
            .arg(scratch.path().join("root"))
            .arg(".")
            .write_to(&partial)?;
        // Under its name only when it is whole.
        fs::rename(&partial, &kept).while_doing(format_args!("make {}", kept.display()))
    });
    // Root's files: only root can remove them.
    let _ = root.run("rm").args(["-rf", "--one-file-system"]).arg(scratch.path().join("root")).succeeds();
    packed.map(|()| kept)
}

/// The mirror that this machine installs from, if it is a Debian: it may reach no other.
pub(crate) fn mirror() -> String {
    let fields = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
    let targets =
        Run::new("apt-get").args(["indextargets", "--format", fields, "Created-By: Packages"]).text();
    targets
        .unwrap_or_default()
        .lines()
        .find_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
            // An address that debootstrap can use: mirror lists and discs are apt's alone.
            ["Debian", SUITE, "main", address] if address.starts_with("http") => Some((*address).to_owned()),
            _ => None,
        })
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}
