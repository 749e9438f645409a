//! `allow`: shows a person what a project file asks for, and records the approval.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use proto::escape_whole;
use tracing::info;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::project_file::{self, ProjectFileError, Records, summary};
use crate::messages;

#[derive(Debug, Args)]
#[command(after_help = "\
`run` and `serve` use a project file only after its approval. The approval is for these bytes at this path, for where each \
path that the file names leads, and for what its known_hosts and CA files hold: if one of them changes, a new approval is needed. \
What a command does that the file names, such as a script of the repository, can change without the file.

Examples:
  At a terminal, read what the file asks for, and type yes:
    secrets-bridge allow
  In CI, without a terminal:
    secrets-bridge run --allow-config SHA256 -- docker build …")]
pub(crate) struct Allow {
    /// Revoke approval of the file
    #[arg(long, conflicts_with = "list")]
    revoke: bool,
    /// List approved files, each with its SHA-256
    #[arg(long, conflicts_with = "file")]
    list: bool,
    /// Project file to approve
    ///
    /// Default: secrets-bridge.toml in the working directory or above it, up to the root of the repository.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Command for Allow {
    fn run(self) -> Result<u32, Failure> {
        let records = Records::of_this_user()?;
        if self.list {
            for line in records.list()? {
                messages::data(&escape_whole(&line))?;
            }
            return Ok(0);
        }
        let path = match self.file {
            Some(path) => path,
            None => project_file::find()?.ok_or(ProjectFileError::None)?,
        };
        if self.revoke {
            let path = project_file::canonical(&path)?;
            let was_allowed = records.remove(&path)?;
            let now = if was_allowed { "is no longer approved" } else { "was not approved" };
            info!("the project file {} {now}", path.display());
            return Ok(0);
        }
        // Read once: the bytes that are shown are those that are recorded.
        let file = project_file::read(&path)?;
        let (settings, named) = file.for_approval()?;
        messages::print_unabridged(&format!("The project file {}", file.path.display()));
        messages::print_unabridged(&format!("with the SHA-256 {} makes `run` and `serve`:", file.digest));
        for line in summary(&settings) {
            messages::print_unabridged(&format!("  {line}"));
        }
        if !named.is_empty() {
            messages::print_unabridged("The paths that it names, and where they lead:");
            for path in &named {
                messages::print_unabridged(&format!("  {}", path.description()));
            }
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(ProjectFileError::NoTerminal(file.digest).into());
        }
        messages::print("Type yes to approve this:");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|error| Failure::io("cannot read the answer", error))?;
        if answer.trim() != "yes" {
            return Err(ProjectFileError::Declined.into());
        }
        records.add(&file.path, &file.digest, &named)?;
        info!("approved; `secrets-bridge allow --revoke` revokes it");
        Ok(0)
    }
}
