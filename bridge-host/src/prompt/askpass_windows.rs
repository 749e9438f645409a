//! A program on Windows. What it starts is not ended with it; tokio ends the program itself.

use tokio::process::{Child, Command};

pub(super) fn lead_a_group(_command: &mut Command) {}

/// The program.
pub(super) struct Group;

impl Group {
    pub(super) fn of(_leader: &Child) -> Self {
        Self
    }

    pub(super) fn has_ended(&mut self) {}
}
