//! `allow`: a person looks at what a project file asks for, and lets it be used.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use proto::escape_whole;
use tracing::info;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::project_file::{self, ProjectFileError, Records, shown};
use crate::messages;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secrets-bridge allow                     (at a terminal: shows what the file asks for, and wants a yes)
  secrets-bridge run --allow-config SHA256 -- docker build …                       (in CI, where nobody is)

What is allowed is these bytes at this path: after a change or a move it has to be allowed again. What a command
does that the file names, a script of the repository for example, can change without the file.")]
pub(crate) struct Allow {
    /// Take back that the file is allowed
    #[arg(long, conflicts_with = "list")]
    revoke: bool,
    /// Print what is allowed: SHA-256 and path, one line each
    #[arg(long, conflicts_with = "file")]
    list: bool,
    /// The project file [default: secrets-bridge.toml here or above, up to the repository's root]
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
            let now = if was_allowed { "is no longer allowed" } else { "was not allowed" };
            info!("the project file {} {now}", path.display());
            return Ok(0);
        }
        // Read once: what is shown, and what is recorded, are the same bytes.
        let file = project_file::read(&path)?;
        let choices = file.choices_to_show()?;
        messages::print_unabridged(&format!("The project file {}", file.path.display()));
        messages::print_unabridged(&format!("with the SHA-256 {} makes `run` and `serve`", file.digest));
        for line in shown(&choices) {
            messages::print_unabridged(&format!("  {line}"));
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(ProjectFileError::NobodyToAsk(file.digest).into());
        }
        messages::print("Type yes to allow this, as it stands here:");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|error| Failure::io("cannot read the answer", error))?;
        if answer.trim() != "yes" {
            return Err(ProjectFileError::Declined.into());
        }
        records.add(&file.path, &file.digest)?;
        info!("allowed; `secrets-bridge allow --revoke` takes it back");
        Ok(0)
    }
}
