//! The program: the library `secrets_bridge`, with an allocator that wipes.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed: buffers of TLS, websocket and CBOR hold secrets too, and their owners do not wipe them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    secrets_bridge::main()
}
