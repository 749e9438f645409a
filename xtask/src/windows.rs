//! Builds for Windows on Linux with Debian's cross toolchain, and wine to run the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checkout::Checkout;
use crate::debian_rust;
use crate::failure::{Result, While, failure};
use crate::install::{self, Need};
use crate::run::{Run, step};

const TRIPLE: &str = "x86_64-pc-windows-gnu";

/// Requirements of the build besides Debian's Rust.
const TO_BUILD: [Need; 1] = [Need { what: "x86_64-w64-mingw32-gcc", packages: &["gcc-mingw-w64-x86-64"] }];

/// Requirements for running the result.
pub(crate) const TO_RUN: [Need; 1] = [Need { what: WINE, packages: &["wine64"] }];

/// wine. Debian does not install it in PATH.
pub(crate) const WINE: &str = "/usr/lib/wine/wine64";
/// Ends all programs of one prefix.
const WINE_SERVER: &str = "/usr/lib/wine/wineserver";

/// Time limit for wine to create its prefix, or to exit.
const WINE_TIMEOUT: Duration = Duration::from_secs(180);

/// The source of a DLL that wine 8 lacks and that Rust's standard library imports.
const SHIM: &str = include_str!("bcryptprimitives.c");
const SHIM_FILE: &str = "bcryptprimitives.dll";

/// The release binary.
pub(crate) fn release(checkout: &Checkout) -> Result<PathBuf> {
    step("building for Windows, optimised: some five minutes the first time");
    build(checkout, &["--package", "secrets-bridge", "--profile", "release"])?;
    Ok(built(checkout, "release"))
}

/// The binary for tests: the same code, not optimised, which builds in less than half the time. This compiles the whole
/// workspace, so that all of it stays portable to Windows.
pub(crate) fn quick(checkout: &Checkout) -> Result<PathBuf> {
    step("building for Windows: some five minutes the first time");
    // The example is a program for tests.
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
    checkout.target.join("windows")
}

fn built(checkout: &Checkout, profile: &str) -> PathBuf {
    target(checkout).join(TRIPLE).join(profile).join("secrets-bridge.exe")
}

/// Ensures that everything is there that the build needs.
pub(crate) fn provide(install: bool) -> Result<()> {
    debian_rust::provide(install)?;
    install::provide(&TO_BUILD, install)
}

fn build(checkout: &Checkout, args: &[&str]) -> Result<()> {
    debian_rust::cargo(checkout, "build", TRIPLE, &target(checkout)).args(args).live()
}

/// wine with a prefix for tests. Dropping it ends all programs of the prefix.
pub(crate) struct Wine {
    /// The directory with drive C and the registry.
    pub(crate) prefix: PathBuf,
}

/// Disables debug messages, and prompts to download Mono and a browser engine.
pub(crate) const SILENT: [(&str, &str); 2] =
    [("WINEDEBUG", "-all"), ("WINEDLLOVERRIDES", "mscoree=;mshtml=")];

impl Wine {
    /// Creates the prefix unless it exists, and puts the shim beside `exe` and the programs for tests.
    pub(crate) fn prepare(checkout: &Checkout, exe: &Path) -> Result<Self> {
        let wine = Self { prefix: checkout.cache_dir("wine")? };
        build_shim(checkout, exe)?;
        let examples = exe.with_file_name("examples");
        if examples.is_dir() {
            let (from, to) = (exe.with_file_name(SHIM_FILE), examples.join(SHIM_FILE));
            fs::copy(from, &to).while_doing(format_args!("write {}", to.display()))?;
        }
        if !wine.has_registry() {
            step("preparing wine");
            fs::remove_dir_all(&wine.prefix).while_doing(format_args!("remove {}", wine.prefix.display()))?;
            checkout.cache_dir("wine")?;
            wine.run(WINE).args(["wineboot", "--init"]).within(WINE_TIMEOUT)?;
            // The server keeps the new registry in memory, and writes it when it ends, some seconds after the last
            // program. A program that starts meanwhile may get a server that has read the files too early.
            wine.run(WINE_SERVER).arg("--wait").within(WINE_TIMEOUT)?;
            if !wine.has_registry() {
                return Err(failure!("wine did not write a registry to {}", wine.prefix.display()));
            }
        }
        Ok(wine)
    }

    /// Whether the registry is there as wineboot makes it, with the variables that each user has.
    fn has_registry(&self) -> bool {
        let user = fs::read(self.prefix.join("user.reg")).unwrap_or_default();
        String::from_utf8_lossy(&user).contains("\"TEMP\"=") && self.prefix.join("system.reg").is_file()
    }

    fn run(&self, program: &str) -> Run {
        let run = Run::new(program).env("WINEPREFIX", &self.prefix).without_env("DISPLAY");
        SILENT.into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Ends only this prefix's programs; another prefix has another server.
        let _ = self.run(WINE_SERVER).arg("--kill").within(WINE_TIMEOUT);
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
