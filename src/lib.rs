//! The `secrets-bridge` command line: parses, runs one command, prints one error, returns one exit code.
//!
//! It is a library only so that fuzz targets reach it: [`main`] is the program.

// With one half left out, some of what both share is not used.
#![cfg_attr(not(all(feature = "host", feature = "client")), allow(dead_code))]

mod cli;
#[cfg(feature = "client")]
mod client;
mod failure;
mod harden;
#[cfg(feature = "host")]
mod host;
mod image;
mod messages;
mod runtime;
mod usage;
mod values;

#[cfg(feature = "host")]
pub use host::fuzzing;

use std::ffi::OsString;
use std::process::ExitCode;

/// The whole program, for `main.rs`.
pub fn main() -> ExitCode {
    harden::this_process();
    match run(std::env::args_os().collect()) {
        Ok(code) => {
            messages::finish();
            failure::exit_with(code)
        }
        Err(failure) => {
            messages::failure(&failure);
            failure::exit_with(failure.exit_code())
        }
    }
}

/// Under the name of ssh, or of a remote helper of git, this program is a wrapper of those.
fn run(arguments: Vec<OsString>) -> Result<u32, failure::Failure> {
    #[cfg(all(feature = "client", unix))]
    if let Some(outcome) = bridge_client::ssh::wrapper::run_by_program_name(&arguments) {
        return Ok(outcome?);
    }
    cli::run(arguments)
}
