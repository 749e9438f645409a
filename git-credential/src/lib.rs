//! git credentials for HTTPS: a secret with the key [`GIT_CREDENTIALS`], in the format of git-credential-store(1).
//!
//! The bridge writes that text, and the client answers git from it, so both sides share one parser. [`GitScope`] says
//! what a credential is for; [`GitAttributes`] is how git asks for one and is answered (git-credential(1)).

mod attributes;
mod credentials;
mod percent;
mod scope;

pub use attributes::{AttributeError, GitAttributes};
pub use credentials::{
    GIT_CREDENTIALS, GitCredential, GitCredentials, GitCredentialsError, GitLogin, InvalidCredential,
    MAX_GIT_ATTRIBUTES, MAX_GIT_CREDENTIAL, MAX_GIT_CREDENTIALS, MAX_GIT_CREDENTIALS_TEXT, TOKEN_USER,
    git_credentials_text,
};
pub use scope::GitScope;
