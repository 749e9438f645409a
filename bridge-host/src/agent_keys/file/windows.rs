//! Key files are private by their access list, as OpenSSH for Windows has it.

use std::fs::File;

use local_ipc::windows::access;

use crate::agent_keys::error::KeyProblem;

pub(super) fn check_private(file: &File) -> Result<(), KeyProblem> {
    if access::is_private(file).map_err(KeyProblem::Read)? { Ok(()) } else { Err(KeyProblem::OthersMayRead) }
}
