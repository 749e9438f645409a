//! The boundary of a project, by device and mode.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether a project file in `above` may be for `below`: both are on one file system, and `above` is not a directory like
/// /tmp, where any user could put a file that would then stop all commands below.
pub(super) fn same_project(below: &Path, above: &Path) -> bool {
    match (below.metadata(), above.metadata()) {
        (Ok(below), Ok(above)) => below.dev() == above.dev() && above.mode() & 0o002 == 0,
        (Ok(_) | Err(_), _) => false,
    }
}
