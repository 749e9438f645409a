//! `dist`: the release binaries, and their sums.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::elf;
use crate::failure::{Result, While, failure};
use crate::run::{Run, step};
use crate::windows;

/// The names of the binaries in dist/.
const NAMES: [&str; 3] = ["secrets-bridge", "secrets-bridge-client", "secrets-bridge.exe"];

const FLAGS: [&str; 5] = [
    "-Ctarget-feature=+crt-static",
    // Packed relocations have a twentieth of the size of plain ones: 165 KB less.
    "-Clink-arg=-Wl,-z,pack-relative-relocs",
    // A panic aborts, so the stack is never unwound.
    "-Cforce-unwind-tables=no",
    // Use the system call directly. The crate otherwise looks its wrapper up by name, does not find it in a static
    // program, and falls back to /dev/urandom, which may be missing in a chroot.
    "--cfg",
    "getrandom_backend=\"linux_getrandom\"",
];

/// Both static binaries for Linux.
pub(crate) fn linux(checkout: &Checkout) -> Result<()> {
    full(checkout)?;
    client(checkout)?;
    publish(checkout)
}

/// The binary for Windows.
pub(crate) fn windows(checkout: &Checkout) -> Result<()> {
    let exe = windows::release(checkout)?;
    replace(&exe, &checkout.dist()?.join("secrets-bridge.exe"))?;
    publish(checkout)
}

/// dist/secrets-bridge: host and client, static.
pub(crate) fn full(checkout: &Checkout) -> Result<PathBuf> {
    step("building the static binary, optimised: a few minutes the first time");
    static_binary(checkout, "secrets-bridge", &[])
}

/// dist/secrets-bridge-client: without the host side.
pub(crate) fn client(checkout: &Checkout) -> Result<PathBuf> {
    step("building the static client-only binary");
    static_binary(checkout, "secrets-bridge-client", &["--no-default-features", "--features", "client"])
}

fn static_binary(checkout: &Checkout, name: &str, features: &[&str]) -> Result<PathBuf> {
    cargo(checkout, "build").arg("--release").args(features).live()?;
    let built = release(checkout).join("secrets-bridge");
    elf::require_static_and_stripped(&built)?;
    let published = checkout.dist()?.join(name);
    replace(&built, &published)?;
    Ok(published)
}

/// Cargo for the root package, with the flags that make its programs static.
pub(crate) fn cargo(checkout: &Checkout, command: &str) -> Run {
    checkout
        .cargo()
        .args([command, "--locked", "--package", "secrets-bridge"])
        // Even if it is the host's: without `--target` the flags apply to build scripts and procedural macros too, and
        // a static macro cannot be loaded.
        .args(["--target", &triple()])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(checkout))
        // Also set in .cargo/config.toml, which a packager may not have.
        .env("AWS_LC_SYS_NO_JITTER_ENTROPY", "1")
}

fn flags(checkout: &Checkout) -> String {
    let mut flags = FLAGS.map(str::to_owned).to_vec();
    // On x86-64 rustc links with its own LLD, which merges identical functions and drops the unwind tables of the
    // standard library and of C code: 0.6 MB less.
    if ARCH == "x86_64" {
        let script = checkout.root.join("xtask/src/no-unwind-tables.ld");
        flags.push("-Clink-arg=-Wl,--icf=all".to_owned());
        flags.push(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    }
    // Cargo's separator: paths may contain spaces.
    flags.join("\x1f")
}

/// The directory where [`cargo`] puts release builds.
pub(crate) fn release(checkout: &Checkout) -> PathBuf {
    checkout.target.join(triple()).join("release")
}

fn triple() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}

/// Copies to a new inode: the old file may be running.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_file(to);
    fs::copy(from, to)
        .while_doing(format_args!("copy {} to {}", from.display(), to.display()))
        .map(|_bytes| ())
}

/// Writes SHA256SUMS for all binaries in dist/, and prints names, sizes and sums.
fn publish(checkout: &Checkout) -> Result<()> {
    let dist = checkout.dist()?;
    let names: Vec<&str> = NAMES.into_iter().filter(|name| dist.join(name).is_file()).collect();
    let sums = Run::new("sha256sum").args(&names).current_dir(&dist).text()?;
    let file = dist.join("SHA256SUMS");
    fs::write(&file, &sums).while_doing(format_args!("write {}", file.display()))?;
    for (name, sum) in names.iter().zip(sums.lines()) {
        let path = dist.join(name);
        let size =
            fs::metadata(&path).while_doing(format_args!("read the size of {}", path.display()))?.len();
        let sum = sum.split_once(' ').ok_or_else(|| failure!("sha256sum printed {sum:?}"))?.0;
        println!("{:<28} {:>9} bytes ({:.2} MB)  {sum}", format!("dist/{name}"), size, size as f64 / 1e6);
    }
    Ok(())
}
