//! The boundary of a project: a path is on one volume, so the root of that is the boundary.

use std::path::Path;

pub(super) fn same_project(_below: &Path, _above: &Path) -> bool {
    true
}
