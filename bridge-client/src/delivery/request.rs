//! Requests for secrets, as `exec` makes them.

use std::path::PathBuf;

use proto::KeyForm;

use crate::delivery::access::Access;

/// A request for one secret.
#[derive(Debug, Clone)]
pub struct SecretRequest {
    /// The key, and the encoding in which COMMAND gets the value.
    pub form: KeyForm,
    /// Whether COMMAND runs without the secret if the bridge does not have it.
    pub optional: bool,
    /// Whether the [leak check](crate::leak_check) searches for it.
    pub searched: bool,
    pub target: Target,
}

/// How COMMAND gets a secret.
#[derive(Debug, Clone)]
pub enum Target {
    /// As the value of this environment variable.
    Variable(String),
    /// As a file.
    File(FileTarget),
    /// As credentials for git over https, see [`crate::git::credential_helper`], in a file for the user of this access.
    Git(Access),
}

/// A file for COMMAND.
#[derive(Debug, Clone)]
pub struct FileTarget {
    /// Where COMMAND finds it. `~/` is the home directory. `None` is a path that only `variable` tells.
    pub path: Option<PathBuf>,
    /// The variable that is set to its path.
    pub variable: Option<String>,
    /// Who can use it.
    pub access: Access,
    /// Whether to move away what is at `path`, and to move it back afterwards. Otherwise that is an error.
    pub replace: bool,
}
