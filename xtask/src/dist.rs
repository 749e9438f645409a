//! `dist`: the release binaries, and their sums.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout::Checkout;
use crate::debian_rust;
use crate::elf;
use crate::failure::{Result, While, failure};
use crate::musl::Musl;
use crate::run::{Run, step};
use crate::windows;

/// The names of the binaries in dist/.
const NAMES: [&str; 3] = ["secrets-bridge", "secrets-bridge-client", "secrets-bridge.exe"];

const FLAGS: [&str; 8] = [
    "-Ctarget-feature=+crt-static",
    // musl's start-up files and library are the compiler's: Debian's Rust brings none.
    "-Clink-self-contained=no",
    "-Clink-arg=-fuse-ld=lld",
    // Packed relocations have a twentieth of the size of plain ones: 165 KB less. musl reads them since 1.2.4.
    "-Clink-arg=-Wl,--pack-dyn-relocs=relr",
    // Identical functions become one.
    "-Clink-arg=-Wl,--icf=all",
    // A panic aborts, so the stack is never unwound: no unwind tables, neither in Rust's code nor (by the linker script) in C's.
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
    cargo(checkout, "build")?.arg("--release").args(features).live()?;
    let built = release(checkout).join("secrets-bridge");
    elf::require_self_contained(&built)?;
    let published = checkout.dist()?.join(name);
    replace(&built, &published)?;
    Ok(published)
}

/// Cargo for the root package, with the compiler and the flags that make its programs static.
///
/// # Errors
/// The compiler is missing. [`Musl::provide`] installs it.
pub(crate) fn cargo(checkout: &Checkout, command: &str) -> Result<Run> {
    let musl = Musl::provide(checkout, false)?;
    let linker = format!("CARGO_TARGET_{}_LINKER", triple().to_uppercase().replace('-', "_"));
    Ok(debian_rust::cargo(checkout, command, &triple(), &target(checkout))
        .args(["--package", "secrets-bridge"])
        // The standard library too is for size, and without what unwinds and prints stacks: a stripped program has no names
        // for them.
        .arg("-Zbuild-std-features=optimize_for_size")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(checkout, &musl))
        .env(&linker, &musl.compiler)
        .env(&format!("CC_{}", triple().replace('-', "_")), &musl.compiler))
}

fn flags(checkout: &Checkout, musl: &Musl) -> String {
    let mut flags = FLAGS.map(str::to_owned).to_vec();
    let script = checkout.root.join("xtask/src/no-unwind-tables.ld");
    flags.push(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    flags.push(format!("-Lnative={}", musl.libraries.display()));
    // Cargo's separator: paths may contain spaces.
    flags.join("\x1f")
}

/// The directory where [`cargo`] puts release builds.
pub(crate) fn release(checkout: &Checkout) -> PathBuf {
    target(checkout).join(triple()).join("release")
}

fn target(checkout: &Checkout) -> PathBuf {
    checkout.target.join("musl")
}

fn triple() -> String {
    format!("{ARCH}-unknown-linux-musl")
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
