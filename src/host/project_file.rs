//! `secrets-bridge.toml`: what a project's builds need, beside the project.
//!
//! The author of a repository must not choose what is read on the machine of a user who clones it. So the flow is: `find`
//! the file, [`read`] it once, and identify it by the SHA-256 of the very bytes that will be parsed. Only a file that the
//! user has approved, by its path, these bytes and where its names lead, in the `records` of `secrets-bridge allow` or with `--allow-config`,
//! becomes an [`ApprovedFile`], and only that gives [`Settings`], by `schema` and `paths`. `summary` describes what a file
//! asks for, for the question of `allow`.

mod digest;
mod error;
mod field;
mod find;
mod named_path;
mod paths;
mod read;
mod records;
mod schema;
mod summary;

pub(crate) use digest::Digest;
pub(crate) use error::ProjectFileError;
pub(crate) use find::find;
pub(crate) use named_path::NamedPath;
pub(crate) use read::{ReadFile, canonical, read};
pub(crate) use records::Records;
pub(crate) use summary::summary;

use std::path::{Path, PathBuf};

use named_path::RecordedPath;
use paths::Paths;

use crate::host::settings::Settings;

pub(crate) const NAME: &str = "secrets-bridge.toml";

/// What `init` writes.
pub(crate) const EXAMPLE: &str = include_str!("project_file/example.toml");

/// The settings of a project file that the user has approved: its path, its bytes, and where its names lead.
#[derive(Debug)]
pub(crate) struct ApprovedFile {
    path: PathBuf,
    settings: Settings,
}

impl ReadFile {
    /// Approved by `--allow-config`, if `digest` is that of the file. That covers the bytes of the file only, so its names
    /// must not lead through links, and known_hosts and CA files must not come with the repository.
    ///
    /// # Errors
    /// [`ProjectFileError::OtherDigest`], [`ProjectFileError::Content`].
    pub(crate) fn with_digest(self, digest: &Digest) -> Result<ApprovedFile, ProjectFileError> {
        if self.digest != *digest {
            return Err(ProjectFileError::OtherDigest {
                path: self.path,
                found: self.digest,
                wanted: *digest,
            });
        }
        let (settings, _) = schema::settings(&self, Paths::without_links(&self.directory))?;
        Ok(ApprovedFile { path: self.path, settings })
    }

    /// Approved by `allow`, if it has not changed since.
    ///
    /// # Errors
    /// [`ProjectFileError::NotApproved`], [`ProjectFileError::Changed`], [`ProjectFileError::Moved`],
    /// [`ProjectFileError::Content`], or that the records cannot be read.
    pub(crate) fn with_record(self, records: &Records) -> Result<ApprovedFile, ProjectFileError> {
        let Some(approval) = records.approval_of(&self.path)? else {
            return Err(ProjectFileError::NotApproved { path: self.path, found: self.digest });
        };
        if approval.digest != self.digest {
            return Err(ProjectFileError::Changed { path: self.path, found: self.digest });
        }
        let (settings, named) = schema::settings(&self, Paths::of(&self.directory))?;
        let now: Vec<_> = named.iter().map(NamedPath::record).collect();
        if now != approval.paths {
            return Err(self.moved(&named, &approval.paths));
        }
        Ok(ApprovedFile { path: self.path, settings })
    }

    /// The settings of a file that is not approved yet, and where its names lead, for `allow`.
    ///
    /// # Errors
    /// [`ProjectFileError::Content`].
    pub(crate) fn for_approval(&self) -> Result<(Settings, Vec<NamedPath>), ProjectFileError> {
        schema::settings(self, Paths::of(&self.directory))
    }

    /// The error for the first of the `named` paths that is not as it was `approved`.
    fn moved(self, named: &[NamedPath], approved: &[RecordedPath]) -> ProjectFileError {
        let differing = named.iter().zip(approved).find(|(now, approved)| now.record() != **approved);
        match differing {
            Some((now, approved)) => ProjectFileError::Moved {
                path: self.path,
                name: format!("{} ({})", now.key, now.written),
                approved: approved.destination(),
                now: now.record().destination(),
            },
            // The bytes are the same, so another version of this program has recorded them.
            None => ProjectFileError::NotApproved { path: self.path, found: self.digest },
        }
    }
}

impl ApprovedFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn into_settings(self) -> Settings {
        self.settings
    }
}
