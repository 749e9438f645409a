//! Console events. COMMAND of `run` is in the same console and receives them itself.

use std::io;

use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};

/// A future that resolves when the process is asked to stop.
///
/// # Errors
/// An error of the system. Handlers are set up when this returns.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let mut forwarder = Forwarder::new()?;
    Ok(async move { forwarder.event().await })
}

/// Keeps console events from ending this process before COMMAND has ended.
pub(crate) struct Forwarder {
    c: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
}

impl Forwarder {
    /// From now on console events no longer end this process.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { c: ctrl_c()?, break_key: ctrl_break()?, close: ctrl_close()? })
    }

    /// Waits for one event, which COMMAND has received too.
    pub(crate) async fn forward_one(&mut self, _child: Option<u32>) {
        self.event().await;
    }

    async fn event(&mut self) {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.break_key.recv() => {}
            _ = self.close.recv() => {}
        }
    }
}

/// The exit code of the program, all 32 bits.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> u32 {
    status.code().unwrap_or(125).cast_unsigned()
}
