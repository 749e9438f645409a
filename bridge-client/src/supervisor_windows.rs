//! COMMAND is in the same console and gets its events itself; they only must not end this process first.

use std::io;
use std::process::Command;

use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};

/// What Windows itself says for a process that Ctrl-C ended (`STATUS_CONTROL_C_EXIT`).
const INTERRUPTED: u32 = 0xC000_013A;

pub(super) struct Supervisor {
    c: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
}

impl Supervisor {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { c: ctrl_c()?, break_key: ctrl_break()?, close: ctrl_close()? })
    }

    pub(super) async fn interrupted(&mut self) -> u32 {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.break_key.recv() => {}
            _ = self.close.recv() => {}
        }
        INTERRUPTED
    }

    pub(super) async fn run(&mut self, mut command: Command) -> io::Result<u32> {
        let mut child = command.spawn()?;
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        // A code is always there on Windows; it is an i32 only in std's eyes.
        Ok(status.code().unwrap_or(-1).cast_unsigned())
    }
}
