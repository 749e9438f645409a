//! The console, for passphrases only. A confirmation needs a read that ends when the question is withdrawn, and no safe
//! interface has one.

use std::path::Path;

use proto::Secret;

use super::answer::Answer;
use super::code::Codes;
use super::{MAX_PASSPHRASE, PromptError};

/// The console's input, whatever stdin is.
pub(super) const DEVICE: &str = "CONIN$";

pub(super) struct Terminal;

impl Terminal {
    pub(super) fn open(device: &Path) -> Option<Self> {
        std::fs::File::open(device).is_ok().then_some(Self)
    }

    pub(super) fn open_for_answers(_device: &Path) -> Option<Self> {
        None
    }

    pub(super) fn passphrase(self, question: &str) -> Result<Secret, PromptError> {
        let passphrase = Secret::from(rpassword::prompt_password(question)?);
        if passphrase.len() > MAX_PASSPHRASE { Err(PromptError::TooLong) } else { Ok(passphrase) }
    }

    pub(super) async fn confirm(self, _question: &str, _codes: &Codes) -> Result<Answer, PromptError> {
        Err(PromptError::NoMethod)
    }
}
