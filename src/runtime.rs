//! The event loop of one command.

use crate::failure::Failure;

/// One thread is enough for all that a bridge or a build does.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the event loop", error))
}

/// Runs `future` to its end. What still runs then (a name that does not resolve) is not waited for.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
