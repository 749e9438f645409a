//! Asks for the passphrase of one key file, a few times.

use std::path::Path;

use proto::{Secret, escape};

use super::error::KeyProblem;
use crate::prompt::PromptError;

/// As ssh has it.
const MAX_ATTEMPTS: usize = 3;

/// The passphrase of the key file `path`, which `ask` gets from a person.
pub(super) struct Passphrases<'a> {
    pub(super) path: &'a Path,
    pub(super) ask: &'a mut dyn FnMut(&str) -> Result<Secret, PromptError>,
}

impl Passphrases<'_> {
    /// Asks until `decrypt` returns something; it returns `None` for a wrong passphrase.
    ///
    /// # Errors
    /// [`KeyProblem::WrongPassphrase`] after three attempts, [`KeyProblem::Passphrase`], and those of `decrypt`.
    pub(super) fn decrypt_with<T>(
        &mut self,
        decrypt: impl Fn(&[u8]) -> Result<Option<T>, KeyProblem>,
    ) -> Result<T, KeyProblem> {
        let file = escape(&self.path.display().to_string());
        for attempt in 0..MAX_ATTEMPTS {
            let again = if attempt == 0 { "" } else { "Wrong passphrase. " };
            let passphrase = (self.ask)(&format!("{again}Passphrase for the SSH key {file}: "))?;
            // An encrypted key never has an empty one, and some key derivations fail on it.
            if passphrase.is_empty() {
                continue;
            }
            if let Some(found) = decrypt(passphrase.expose())? {
                return Ok(found);
            }
        }
        Err(KeyProblem::WrongPassphrase)
    }
}
