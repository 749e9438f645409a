//! The `secrets-bridge` command line: it parses, calls one command, prints one error, returns one exit code.

mod cli;
mod exit;
mod harden;
mod talk;

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// TLS, websocket and CBOR buffers hold secrets too, and their owners free them unwiped.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    harden::this_process();
    match cli::run(std::env::args_os()) {
        Ok(code) => exit::with(code),
        Err(failure) => {
            talk::failure(&failure);
            exit::with(failure.exit_code())
        }
    }
}
