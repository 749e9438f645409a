//! `git-credential`: the credential helper that git calls under `exec --git-credentials`.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use bridge_client::git::credential_helper::{self, CredentialAnswer};
use clap::Args;
use tracing::warn;

use crate::cli::command::Command;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
`exec --git-credentials` makes git call this command (gitcredentials(7)). It answers for https and \
from the file that $SECRETS_BRIDGE_GIT_CREDENTIALS names, and stores nothing.

Example, in a script under `exec --git-credentials --sh`:
  printf 'protocol=https\\nhost=github.com\\n' | secrets-bridge git-credential get")]
pub(crate) struct GitCredential {
    /// Operation of git: get; all others do nothing
    #[arg(value_name = "OPERATION")]
    operation: OsString,
}

impl Command for GitCredential {
    fn run(self) -> Result<u32, Failure> {
        if self.operation != "get" {
            return Ok(0);
        }
        let file = std::env::var_os(credential_helper::VARIABLE).map(PathBuf::from);
        match credential_helper::answer(file.as_deref(), io::stdin().lock())? {
            CredentialAnswer::Login(lines) => {
                let mut stdout = io::stdout().lock();
                stdout
                    .write_all(lines.expose())
                    .and_then(|()| stdout.flush())
                    .map_err(|error| Failure::io("cannot answer git", error))?;
            }
            CredentialAnswer::None(what) => warn!("the bridge has no git credential for {what}"),
        }
        Ok(0)
    }
}
