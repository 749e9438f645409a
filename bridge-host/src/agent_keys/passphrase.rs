//! Asks for the passphrase of one file, and not for ever.

use std::path::Path;

use proto::{Secret, escape};

use super::error::KeyProblem;
use crate::prompt::PromptError;

/// How often a person may mistype, as with ssh.
const TRIES: usize = 3;

/// Whoever knows the passphrase of the file `path`.
pub(super) struct Passphrases<'a> {
    pub(super) path: &'a Path,
    pub(super) ask: &'a mut dyn FnMut(&str) -> Result<Secret, PromptError>,
}

impl Passphrases<'_> {
    /// What `decrypt` makes of the first right passphrase; it says `None` to a wrong one.
    pub(super) fn until_right<T>(
        &mut self,
        decrypt: impl Fn(&[u8]) -> Result<Option<T>, KeyProblem>,
    ) -> Result<T, KeyProblem> {
        let file = escape(&self.path.display().to_string());
        for attempt in 0..TRIES {
            let again = if attempt == 0 { "" } else { "That is not it. " };
            let passphrase = (self.ask)(&format!("{again}Passphrase for the SSH key {file}: "))?;
            // None is an empty one, and some derivations take an empty one for an error of ours.
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
