//! Owners and modes on Unix.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Access, AccessError};

const EXECUTE: u32 = 0o1;

/// Gives `path`, which no other user can reach yet, its owner, group and mode, whatever the umask.
pub(crate) fn give(path: &Path, access: Access) -> Result<(), AccessError> {
    if access.names_owner() {
        chown(path, access.uid, access.gid).map_err(|error| explained(error, access))?;
    }
    // After the owner: a change of owner may take bits away.
    Ok(fs::set_permissions(path, Permissions::from_mode(access.mode))?)
}

pub(in crate::delivery) fn explained(error: std::io::Error, access: Access) -> AccessError {
    let owner = || match (access.uid, access.gid) {
        (Some(uid), Some(gid)) => format!("user {uid} and group {gid}"),
        (Some(uid), None) => format!("user {uid}"),
        (None, Some(gid)) => format!("group {gid}"),
        (None, None) => "its owner".to_owned(),
    };
    match Errno::from_io_error(&error) {
        Some(Errno::PERM) => AccessError::NotAllowed { owner: owner(), own: geteuid().as_raw() },
        Some(Errno::INVAL) => AccessError::NotMapped { owner: owner() },
        _ => AccessError::System(error),
    }
}

/// The first directory above `path` that the user of `access` cannot search, as far as modes tell. A directory that a group
/// may search counts as reachable: which groups the user is in is not known here.
pub(crate) fn unreachable_directory(path: &Path, access: Access) -> Option<PathBuf> {
    let uid = other_user(access)?;
    let parents = path.parent()?.ancestors().collect::<Vec<_>>();
    let closed =
        |directory: &&&Path| fs::metadata(directory).is_ok_and(|found| !permits(&found, uid, EXECUTE));
    parents.iter().rev().find(closed).map(|directory| directory.to_path_buf())
}

/// Whether the user of `access` can execute `program`, as far as modes tell.
pub(crate) fn may_execute(program: &Path, access: Access) -> bool {
    let Some(uid) = other_user(access) else { return true };
    unreachable_directory(program, access).is_none()
        && fs::metadata(program).is_ok_and(|found| permits(&found, uid, EXECUTE))
}

/// Root can use whatever its mode is.
fn other_user(access: Access) -> Option<u32> {
    access.uid.filter(|uid| *uid != 0 && *uid != geteuid().as_raw())
}

fn permits(found: &Metadata, uid: u32, bit: u32) -> bool {
    let mode = found.mode();
    if found.uid() == uid { mode >> 6 & bit != 0 } else { (mode >> 3 | mode) & bit != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_directory_above_a_path_is_found() {
        let scratch = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let closed = scratch.path().join("a/closed");
        fs::create_dir_all(closed.join("b")).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let other = Access { uid: Some(geteuid().as_raw() + 1), gid: None, mode: 0o600 };
        let found = |access| unreachable_directory(&closed.join("b/file"), access);
        assert_eq!(found(other), Some(closed.clone()));
        assert_eq!(found(Access::own(0o600)), None);
        assert_eq!(found(Access { uid: Some(0), ..other }), None);
        fs::set_permissions(&closed, Permissions::from_mode(0o710)).unwrap();
        assert_eq!(found(other), None);
    }
}
