//! The event loop of one command.

use crate::failure::Failure;

/// One thread is enough for the work of a bridge or a client.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the event loop", error))
}

/// Runs `future` to its end, and does not wait for tasks that still run, such as the resolution of a name.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
