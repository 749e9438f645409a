//! Key files are private by their mode, as ssh has it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::agent_keys::error::KeyProblem;

pub(super) fn open(path: &Path) -> io::Result<File> {
    // NONBLOCK: opening a FIFO must not block. Links are followed, as ssh does: keys often are links.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

pub(super) fn check_private(file: &File) -> Result<(), KeyProblem> {
    let mode = file.metadata().map_err(KeyProblem::Read)?.mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyProblem::NotPrivate { mode }) }
}
