//! Moves that overwrite nothing, within one directory.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, FileType, linkat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::parent::Parent;

/// Exchanges two entries. No process sees a moment at which one of them does not exist.
///
/// # Errors
/// [`is_unsupported`] ones, where the file system cannot, and those of the system.
pub(super) fn exchange(parent: &Parent, one: &OsStr, other: &OsStr) -> Result<(), Errno> {
    platform::exchange(parent, one, other)
}

/// Whether the kernel or the file system has no such operation: NFS and many FUSE file systems.
pub(super) fn is_unsupported(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].contains(&error)
}

/// Moves `from` to `to`.
///
/// # Errors
/// `EXIST` if there is something at `to`, and those of the system.
pub(super) fn move_to_free_name(parent: &Parent, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match platform::rename_without_replacing(parent, from, to) {
        Err(error) if is_unsupported(error) => {}
        done => return done,
    }
    // link(2) overwrites nothing either, but is not for directories.
    let found = statat(parent, from, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
        match linkat(parent, from, parent, to, AtFlags::empty()) {
            Ok(()) => return unlinkat(parent, from, AtFlags::empty()),
            // The file system has no hard links, or the kernel allows none to files of others (proc_sys_fs(5)).
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::ACCESS) => {}
            Err(error) => return Err(error),
        }
    }
    match statat(parent, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(parent, from, parent, to),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use rustix::fs::{RenameFlags, renameat_with};

    use super::{Errno, OsStr, Parent};

    pub(super) fn exchange(parent: &Parent, one: &OsStr, other: &OsStr) -> Result<(), Errno> {
        #[cfg(test)]
        super::tests::support()?;
        renameat_with(parent, one, parent, other, RenameFlags::EXCHANGE)
    }

    pub(super) fn rename_without_replacing(parent: &Parent, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        #[cfg(test)]
        super::tests::support()?;
        renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Errno, OsStr, Parent};

    pub(super) fn exchange(_parent: &Parent, _one: &OsStr, _other: &OsStr) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn rename_without_replacing(
        _parent: &Parent,
        _from: &OsStr,
        _to: &OsStr,
    ) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::Errno;

    thread_local! {
        static SUPPORTED: Cell<bool> = const { Cell::new(true) };
    }

    /// Fails as a file system without renameat2's flags does, while [`without_support`] runs.
    pub(in super::super) fn support() -> Result<(), Errno> {
        if SUPPORTED.get() { Ok(()) } else { Err(Errno::INVAL) }
    }

    pub(in super::super) fn without_support<T>(run: impl FnOnce() -> T) -> T {
        SUPPORTED.set(false);
        let result = run();
        SUPPORTED.set(true);
        result
    }
}
