//! `discard-output`: reads the output of processes that outlive `exec`.

use bridge_client::discard_to_end;
use clap::Args;

use crate::cli::command::Command;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
`exec` leaves this process behind if processes that COMMAND has started still have its output open. It ends with them.")]
pub(crate) struct DiscardOutput {}

impl Command for DiscardOutput {
    fn run(self) -> Result<u32, Failure> {
        discard_to_end();
        Ok(0)
    }
}
