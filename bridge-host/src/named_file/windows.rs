//! Opens a path, and checks that it has no links afterwards: Windows has no `openat` in safe code. A link that is made and
//! removed again around the opening is not noticed.

use std::fs::File;
use std::io;
use std::path::Path;

pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn open_without_links(path: &Path, _without_waiting: bool) -> io::Result<File> {
    let file = File::open(path)?;
    if path.canonicalize()? == path { Ok(file) } else { Err(super::leads_elsewhere()) }
}

/// A named pipe has no links, and asking for its path would open it.
pub(super) fn is_pipe(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(br"\\.\pipe\")
}
