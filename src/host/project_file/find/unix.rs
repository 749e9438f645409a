//! Where a project ends, by device and mode.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether what lies in `above` may say something about `below`: it is on the same file system, and not a place like
/// /tmp, where everybody can put a file that would then stop all that is done below.
pub(super) fn belong_together(below: &Path, above: &Path) -> bool {
    match (below.metadata(), above.metadata()) {
        (Ok(below), Ok(above)) => below.dev() == above.dev() && above.mode() & 0o002 == 0,
        (Ok(_) | Err(_), _) => false,
    }
}
