//! `secrets-bridge.toml`: what a project's builds need, beside the project.
//!
//! The author of a repository must not choose what is read on the machine of a user who clones it. So the flow is: `find`
//! the file, [`read`] it once, and identify it by the SHA-256 of the very bytes that will be parsed. Only a file that the
//! user has approved, by its path and these bytes, in the `records` of `secrets-bridge allow` or with `--allow-config`,
//! becomes an [`ApprovedFile`], and only that gives [`Settings`], by `schema` and `paths`. `summary` describes what a file
//! asks for, for the question of `allow`.

mod digest;
mod error;
mod field;
mod find;
mod paths;
mod read;
mod records;
mod schema;
mod summary;

pub(crate) use digest::Digest;
pub(crate) use error::ProjectFileError;
pub(crate) use find::find;
pub(crate) use read::{ReadFile, canonical, read};
pub(crate) use records::Records;
pub(crate) use summary::summary;

use std::path::Path;

use crate::host::settings::Settings;

pub(crate) const NAME: &str = "secrets-bridge.toml";

/// What `init` writes.
pub(crate) const EXAMPLE: &str = include_str!("project_file/example.toml");

/// A project file whose path and bytes the user has approved.
#[derive(Debug)]
pub(crate) struct ApprovedFile(ReadFile);

impl ReadFile {
    /// Approved by `--allow-config`, if `digest` is that of the file.
    ///
    /// # Errors
    /// [`ProjectFileError::OtherDigest`].
    pub(crate) fn with_digest(self, digest: &Digest) -> Result<ApprovedFile, ProjectFileError> {
        if self.digest == *digest {
            Ok(ApprovedFile(self))
        } else {
            Err(ProjectFileError::OtherDigest { path: self.path, found: self.digest, wanted: *digest })
        }
    }

    /// Approved by `allow`, if it has not changed since.
    ///
    /// # Errors
    /// [`ProjectFileError::NotApproved`], [`ProjectFileError::Changed`], or that the records cannot be read.
    pub(crate) fn with_record(self, records: &Records) -> Result<ApprovedFile, ProjectFileError> {
        match records.digest_of(&self.path)? {
            Some(digest) if digest == self.digest => Ok(ApprovedFile(self)),
            Some(_) => Err(ProjectFileError::Changed { path: self.path, found: self.digest }),
            None => Err(ProjectFileError::NotApproved { path: self.path, found: self.digest }),
        }
    }

    /// The settings of a file that is not approved yet, for the summary that `allow` shows.
    ///
    /// # Errors
    /// [`ProjectFileError::Content`].
    pub(crate) fn settings_for_summary(&self) -> Result<Settings, ProjectFileError> {
        schema::settings(self)
    }
}

impl ApprovedFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// # Errors
    /// [`ProjectFileError::Content`].
    pub(crate) fn settings(&self) -> Result<Settings, ProjectFileError> {
        schema::settings(&self.0)
    }
}
