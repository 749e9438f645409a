//! The event loop of one command.

use crate::failure::Failure;

/// One thread is enough for the work of a bridge or a client.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    #[cfg(unix)]
    check_descriptors().map_err(|error| Failure::io("cannot start the event loop", error))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the event loop", error))
}

/// tokio panics where it cannot open the sockets for its signal handler. With the poller and what wakes it, it opens five
/// descriptors.
///
/// # Errors
/// If fewer than six can be opened.
#[cfg(unix)]
fn check_descriptors() -> std::io::Result<()> {
    use std::os::unix::net::UnixStream;
    let _three_pairs = [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    Ok(())
}

/// Runs `future` to its end, and does not wait for tasks that still run, such as the resolution of a name.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
