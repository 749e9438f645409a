//! The program for Windows, built on Linux by Debian's cross toolchain, and wine to run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::install::Need;
use crate::run::{Run, step};

const TRIPLE: &str = "x86_64-pc-windows-gnu";

/// What the cross build needs. rustup's toolchain could do it as well, but only with a standard library that is
/// fetched from its own site; Debian has everything in the archive.
pub(crate) const TO_BUILD: [Need; 4] = [
    Need { what: "/usr/bin/cargo", packages: &["cargo-web"] },
    Need { what: "/usr/bin/rustc", packages: &["rustc-web"] },
    Need { what: "/usr/lib/rustlib/src/rust/library", packages: &["rust-web-src"] },
    Need { what: "x86_64-w64-mingw32-gcc", packages: &["gcc-mingw-w64-x86-64"] },
];

/// What running the result needs.
pub(crate) const TO_RUN: [Need; 1] = [Need { what: WINE, packages: &["wine64"] }];

/// Runs a Windows program. Debian puts it where PATH does not look.
pub(crate) const WINE: &str = "/usr/lib/wine/wine64";
/// What all programs of one prefix talk to; they end with it.
const WINE_SERVER: &str = "/usr/lib/wine/wineserver";

/// How long wine may take to make its prefix, or to end.
const PATIENCE: Duration = Duration::from_secs(180);

/// Windows' source of random numbers, which Rust's standard library imports by name; see the file for why.
const SHIM: &str = include_str!("bcryptprimitives.c");
const SHIM_FILE: &str = "bcryptprimitives.dll";

/// The program as it is published.
pub(crate) fn release(checkout: &Checkout) -> Result<PathBuf> {
    step("building for Windows, optimised: some five minutes the first time");
    build(checkout, &["--package", "secrets-bridge", "--profile", "release"])?;
    Ok(built(checkout, "release"))
}

/// The program as it is tested: the same code, unoptimised, which builds in less than half the time. The whole
/// workspace is compiled, so that nothing in it comes to need a Unix.
pub(crate) fn quick(checkout: &Checkout) -> Result<PathBuf> {
    step("building for Windows: some five minutes the first time");
    // The second one is what tests run in a build of theirs.
    for what in [&["--workspace"][..], &["--package=local-ipc", "--example=relay"]] {
        let profile = [
            "--config=profile.quick.inherits='release'",
            "--config=profile.quick.lto='off'",
            "--config=profile.quick.opt-level=0",
            "--config=profile.quick.codegen-units=16",
            "--profile=quick",
        ];
        build(checkout, &[what, &profile].concat())?;
    }
    Ok(built(checkout, "quick"))
}

fn target(checkout: &Checkout) -> PathBuf {
    // Of its own: another compiler's results would only be thrown out of the common one, again and again.
    checkout.target.join("windows")
}

fn built(checkout: &Checkout, profile: &str) -> PathBuf {
    target(checkout).join(TRIPLE).join(profile).join("secrets-bridge.exe")
}

/// Fails where the machine's own compiler is older than this workspace allows.
pub(crate) fn require_new_enough() -> Result<()> {
    let version = Run::new("/usr/bin/rustc").arg("--version").without_env("LD_LIBRARY_PATH").text()?;
    let version = version.split(' ').nth(1).unwrap_or_default();
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    if minor(version) >= minor(wanted) {
        return Ok(());
    }
    Err(failure!(
        "/usr/bin/rustc is {version}, and {wanted} is needed (Debian's rustc-web has it, where the security archive is among the sources)"
    ))
}

fn build(checkout: &Checkout, args: &[&str]) -> Result<()> {
    // Debian's compiler has no standard library for Windows; it builds one from source, and a stable compiler does
    // that only when told to behave like an unstable one.
    Run::new("/usr/bin/cargo")
        .current_dir(&checkout.root)
        .args(["build", "--locked", "-Zbuild-std=std,panic_abort", "--target", TRIPLE, "--target-dir"])
        .arg(target(checkout))
        .args(args)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("AWS_LC_SYS_NO_JITTER_ENTROPY", "1")
        // What the cargo that runs us left there for its own compiler.
        .without_env("CARGO")
        .without_env("RUSTUP_TOOLCHAIN")
        .without_env("LD_LIBRARY_PATH")
        .without_env("RUSTFLAGS")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .live()
}

/// wine, with a prefix of our own.
pub(crate) struct Wine {
    /// Its prefix: the directory that it takes for a Windows machine.
    pub(crate) prefix: PathBuf,
}

/// Neither a debugger's chatter nor a question whether to fetch Mono or a browser engine: there is nobody to answer.
pub(crate) const SILENT: [(&str, &str); 2] =
    [("WINEDEBUG", "-all"), ("WINEDLLOVERRIDES", "mscoree=;mshtml=")];

impl Wine {
    /// Makes the prefix, unless it is there, and puts the shim next to `exe` and the programs of tests.
    pub(crate) fn prepare(checkout: &Checkout, exe: &Path) -> Result<Self> {
        let wine = Self { prefix: checkout.cache_dir("wine")? };
        build_shim(checkout, exe)?;
        let examples = exe.with_file_name("examples");
        if examples.is_dir() {
            let (from, to) = (exe.with_file_name(SHIM_FILE), examples.join(SHIM_FILE));
            fs::copy(from, &to).while_doing(format_args!("write {}", to.display()))?;
        }
        if !wine.prefix.join("system.reg").is_file() {
            step("preparing wine");
            wine.run(WINE).args(["wineboot", "--init"]).within(PATIENCE)?;
        }
        Ok(wine)
    }

    fn run(&self, program: &str) -> Run {
        let run = Run::new(program).env("WINEPREFIX", &self.prefix).without_env("DISPLAY");
        SILENT.into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // It and what it runs for this prefix; another prefix has a server of its own.
        let _ = self.run(WINE_SERVER).arg("--kill").within(PATIENCE);
    }
}

fn build_shim(checkout: &Checkout, exe: &Path) -> Result<()> {
    let source = checkout.cache_dir("windows")?.join("bcryptprimitives.c");
    fs::write(&source, SHIM).while_doing(format_args!("write {}", source.display()))?;
    Run::new("x86_64-w64-mingw32-gcc")
        .args(["-Wall", "-Werror", "-Os", "-s", "-shared", "-o"])
        .arg(exe.with_file_name(SHIM_FILE))
        .arg(&source)
        .arg("-ladvapi32")
        .text()
        .map(drop)
}
