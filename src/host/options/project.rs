//! The options that select the project file, and its approval.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::host::project_file::{self, Digest, ProjectFileError, Records};
use crate::host::settings::Settings;
use crate::usage::UsageError;

// (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
pub(crate) struct ProjectOptions {
    /// Use the project file FILE, which needs the approval of `allow`
    ///
    /// Default: secrets-bridge.toml in the working directory or above it, up to the root of the repository.
    #[arg(long, value_name = "FILE", conflicts_with = "no_config")]
    config: Option<PathBuf>,
    /// Use no project file
    #[arg(long)]
    no_config: bool,
    /// Approve the project file for this run if this is its SHA-256
    ///
    /// For CI, where there is no approval by `allow`. No path that the file names may then lead through a symbolic link, or
    /// be a known_hosts or CA file of the repository.
    #[arg(long, value_name = "SHA256", conflicts_with = "no_config")]
    allow_config: Option<String>,
}

impl ProjectOptions {
    /// The settings of the project file, if there is one.
    ///
    /// # Errors
    /// [`Failure::ProjectFile`] if it is not approved or invalid; [`Failure::Usage`].
    pub(crate) fn settings(&self) -> Result<Option<Settings>, Failure> {
        if self.no_config {
            return Ok(None);
        }
        let wanted = match &self.allow_config {
            None => None,
            Some(text) => Some(text.parse::<Digest>().map_err(|()| {
                UsageError::option("--allow-config", "must be a SHA-256: 64 hexadecimal digits")
            })?),
        };
        let Some(path) = self.config.clone().map_or_else(project_file::find, |path| Ok(Some(path)))? else {
            return match wanted {
                None => Ok(None),
                Some(_) => Err(ProjectFileError::None.into()),
            };
        };
        let file = project_file::read(&path)?;
        let allowed = match wanted {
            Some(digest) => file.with_digest(&digest)?,
            None => file.with_record(&Records::of_this_user()?)?,
        };
        tracing::debug!("the project file is {}", allowed.path().display());
        Ok(Some(allowed.into_settings()))
    }
}
