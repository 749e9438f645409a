//! The program: the library `secrets_bridge`, with an allocator that wipes.

#[cfg(not(target_env = "musl"))]
use std::alloc::System as Memory;
use std::process::ExitCode;

#[cfg(target_env = "musl")]
use dlmalloc::GlobalDlmalloc as Memory;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed: buffers of TLS, websocket and CBOR hold secrets too, and their owners do not wipe them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Memory> = ZeroAlloc(Memory);

fn main() -> ExitCode {
    secrets_bridge::main()
}
