//! `secrets-bridge.toml`: what a project's builds need, beside the project.
//!
//! Whoever writes a repository must not choose what is read on the machine of whoever clones it. So the flow is: `find`
//! the file, [`read`] it once, and know it by the SHA-256 of the very bytes that will be parsed. Only a file that
//! somebody has allowed, by its path and these bytes, in the `records` of `secrets-bridge allow` or with
//! `--allow-config`, becomes an [`AllowedFile`], and only that has [`Settings`], by way of the `schema` and of `paths`.
//! `summary` says what a file asks for, for the question that `allow` puts.

mod error;
mod field;
mod find;
mod paths;
mod read;
mod records;
mod schema;
mod summary;

pub(crate) use error::ProjectFileError;
pub(crate) use find::find;
pub(crate) use read::{Digest, ReadFile, canonical, read};
pub(crate) use records::Records;
pub(crate) use summary::summary;

use std::path::Path;

use crate::host::settings::Settings;

/// Its name.
pub(crate) const NAME: &str = "secrets-bridge.toml";

/// What `init` writes.
pub(crate) const EXAMPLE: &str = include_str!("project_file/example.toml");

/// A project file that somebody has allowed: its path, and these bytes.
#[derive(Debug)]
pub(crate) struct AllowedFile(ReadFile);

impl ReadFile {
    /// It is allowed if `digest` was asked for.
    ///
    /// # Errors
    /// [`ProjectFileError::OtherDigest`].
    pub(crate) fn if_it_is(self, digest: &Digest) -> Result<AllowedFile, ProjectFileError> {
        if self.digest == *digest {
            Ok(AllowedFile(self))
        } else {
            Err(ProjectFileError::OtherDigest { path: self.path, found: self.digest, wanted: *digest })
        }
    }

    /// It is allowed if it was recorded as it is.
    ///
    /// # Errors
    /// [`ProjectFileError::NotAllowed`], [`ProjectFileError::Changed`], or that the records cannot be read.
    pub(crate) fn if_recorded(self, records: &Records) -> Result<AllowedFile, ProjectFileError> {
        match records.digest_of(&self.path)? {
            Some(digest) if digest == self.digest => Ok(AllowedFile(self)),
            Some(_) => Err(ProjectFileError::Changed { path: self.path, found: self.digest }),
            None => Err(ProjectFileError::NotAllowed { path: self.path, found: self.digest }),
        }
    }

    /// What it would choose, for showing it to whoever is asked to allow it.
    ///
    /// # Errors
    /// [`ProjectFileError::Content`].
    pub(crate) fn settings_to_show(&self) -> Result<Settings, ProjectFileError> {
        schema::settings(self)
    }
}

impl AllowedFile {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// What it chooses.
    ///
    /// # Errors
    /// [`ProjectFileError::Content`].
    pub(crate) fn settings(&self) -> Result<Settings, ProjectFileError> {
        schema::settings(&self.0)
    }
}
