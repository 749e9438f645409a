//! `init`: writes an example of a project file.

use std::path::Path;

use bridge_host::private_file;
use clap::Args;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::project_file::{EXAMPLE, NAME};
use crate::messages;

#[derive(Debug, Args)]
#[command(after_help = "\
The file is written into the working directory, and asks for nothing until it is edited.

Examples:
  secrets-bridge init
  $EDITOR secrets-bridge.toml
  secrets-bridge allow
  secrets-bridge run -- docker build --build-arg FTP_PROXY -t app .")]
pub(crate) struct Init {}

impl Command for Init {
    fn run(self) -> Result<u32, Failure> {
        // A file that other users can write to is not used, and the umask may be 002.
        let written = private_file::create_readable(Path::new(NAME), EXAMPLE.as_bytes());
        written.map_err(|error| Failure::io(format!("cannot write {NAME}"), error))?;
        messages::print(&format!("secrets-bridge: wrote {NAME}, which asks for nothing yet. Next steps:"));
        messages::print("  edit it");
        messages::print("  secrets-bridge allow");
        messages::print("  secrets-bridge run -- docker build --build-arg FTP_PROXY -t app .");
        Ok(0)
    }
}
