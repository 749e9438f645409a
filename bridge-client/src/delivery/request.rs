//! What COMMAND is to have.

use std::path::PathBuf;

use proto::KeyForm;

/// One secret for COMMAND.
#[derive(Debug, Clone)]
pub struct SecretRequest {
    /// Which secret, in which form.
    pub form: KeyForm,
    /// Whether COMMAND runs without it where the bridge does not have it.
    pub optional: bool,
    /// Whether COMMAND must not write it down: see [`leak_check`](crate::leak_check).
    pub searched: bool,
    /// How COMMAND gets it.
    pub target: Target,
}

/// How COMMAND gets a secret.
#[derive(Debug, Clone)]
pub enum Target {
    /// As the value of this environment variable.
    Variable(String),
    /// As a file.
    File(FileTarget),
    /// As what git logs in with over https: see [`crate::git::credential_helper`].
    Git,
}

/// A file for COMMAND.
#[derive(Debug, Clone)]
pub struct FileTarget {
    /// Where COMMAND finds it; nowhere in particular, if only a variable says where it is. `~/` is the home directory.
    pub path: Option<PathBuf>,
    /// A variable for its path.
    pub variable: Option<String>,
    /// Its permissions.
    pub mode: u32,
    /// Whether something may be at `path`; it comes back afterwards.
    pub replace: bool,
}
