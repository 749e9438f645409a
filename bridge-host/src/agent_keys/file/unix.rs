//! Key files are private by their mode, as ssh has it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use crate::agent_keys::error::KeyProblem;

pub(super) fn check_private(file: &File) -> Result<(), KeyProblem> {
    let mode = file.metadata().map_err(KeyProblem::Read)?.mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyProblem::NotPrivate { mode }) }
}
