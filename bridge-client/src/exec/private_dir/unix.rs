//! Private directories on Unix.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::PREFIX;
use crate::delivery::access::{Access, Visitors};

/// With the name of the private directory 60 bytes, which leaves 40 for the name of a socket.
const MAX_PLACE: usize = 40;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Containers have /dev/shm unless it was removed. Minimal images may have nothing but `/`.
pub(super) fn places() -> Vec<PathBuf> {
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut places: Vec<PathBuf> = vec!["/dev/shm".into()];
    places.extend(of_session);
    places.extend(["/run", "/tmp", "/"].map(PathBuf::from));
    places
}

/// Whether `place` is in memory.
///
/// # Errors
/// If it is not a directory, or a private directory in it would not be safe.
pub(super) fn is_suitable_and_in_memory(place: &Path) -> io::Result<bool> {
    let directory = File::open(place)?;
    let metadata = directory.metadata()?;
    let trusted = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    // Without the sticky bit, other users could replace the directory.
    let shared = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
    if !metadata.is_dir() || !trusted || shared || !is_plain(place) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(is_in_memory(&directory))
}

/// The path is used in options of ssh and in `PATH`, where spaces, quotes and colons are special.
fn is_plain(place: &Path) -> bool {
    let bytes = place.as_os_str().as_bytes();
    place.is_absolute()
        && bytes.len() <= MAX_PLACE
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
}

#[cfg(target_os = "linux")]
fn is_in_memory(directory: &File) -> bool {
    // statfs(2)
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    const RAMFS_MAGIC: u32 = 0x8584_58f6;
    let Ok(found) = rustix::fs::fstatfs(directory) else { return false };
    // The type of `f_type` depends on the architecture. All values have 32 bits.
    [TMPFS_MAGIC, RAMFS_MAGIC].contains(&(found.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_directory: &File) -> bool {
    false
}

pub(super) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    // A umask may have taken away the owner's own bits.
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).inspect_err(|_| {
        let _ = std::fs::remove_dir(path);
    })
}

/// Lets everyone enter and list the directory.
pub(super) fn open_to_all(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Lets everyone read the file.
pub(super) fn open_file_to_all(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// Lets those search the directory whom one of `accesses` names. Its owner stays: in a directory of another user, that user
/// could replace the programs that root finds there first in `PATH`.
pub(super) fn admit(path: &Path, accesses: impl IntoIterator<Item = Access>) -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let visitors = Visitors::of(accesses, user, group);
    if visitors.is_empty() || (!visitors.everyone && set_access_list(path, &visitors).is_ok()) {
        return Ok(());
    }
    // Everyone can look up names then, and the modes of the files alone decide.
    std::fs::set_permissions(path, Permissions::from_mode(0o711))
}

/// An access list (acl(5)) with which only the owner and `visitors` can search the directory. Some file systems and sandboxes
/// have none.
#[cfg(target_os = "linux")]
fn set_access_list(path: &Path, visitors: &Visitors) -> io::Result<()> {
    // linux/posix_acl_xattr.h: a version, then a tag, bits and an id for each entry, in this order.
    const VERSION: u32 = 2;
    const NO_ID: u32 = u32::MAX;
    const USER_OBJ: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP_OBJ: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    const ALL: u16 = 7;
    const SEARCH: u16 = 1;
    let named = |tag, ids: &[u32]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.into_iter().map(move |id| (tag, SEARCH, id))
    };
    let entries = std::iter::once((USER_OBJ, ALL, NO_ID))
        .chain(named(USER, &visitors.users))
        .chain([(GROUP_OBJ, 0, NO_ID)])
        .chain(named(GROUP, &visitors.groups))
        .chain([(MASK, SEARCH, NO_ID), (OTHER, 0, NO_ID)]);
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(bits.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let set = rustix::fs::setxattr(path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty());
    Ok(set?)
}

#[cfg(not(target_os = "linux"))]
fn set_access_list(_path: &Path, _visitors: &Visitors) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) type Lock = File;

/// flock(2) of the directory. `None` if its file system has no locks.
pub(super) fn lock(path: &Path) -> Option<Lock> {
    let directory = File::open(path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

/// Whether the `exec` lives that a private directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Running,
    /// It was killed.
    Ended,
    /// The directory is not here: removed, or that of another container.
    Absent,
}

/// The private directory that `path` is in, by its name, and whether its `exec` lives.
pub(crate) fn holder_of(path: &Path) -> Option<(PathBuf, Holder)> {
    let directory = private_dir_of(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let holder = match rustix::fs::open(directory, flags, Mode::empty()) {
        Ok(opened) => match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Holder::Ended,
            Err(_) => Holder::Running,
        },
        Err(Errno::NOENT) => Holder::Absent,
        // It cannot be known.
        Err(_) => Holder::Running,
    };
    Some((directory.to_owned(), holder))
}

/// Whether `path` is in a private directory, by its name.
pub(crate) fn is_in_private_dir(path: &Path) -> bool {
    path.ancestors().any(|above| private_dir_of(above).is_some())
}

fn private_dir_of(path: &Path) -> Option<&Path> {
    let directory = path.parent().filter(|directory| directory.is_absolute())?;
    let digits = directory.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    let is_one = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // Nothing else of that name: what is in it will be removed.
    (is_one && places().iter().any(|place| Some(place.as_path()) == directory.parent())).then_some(directory)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(contents)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::PrivateDir;
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::support::require::{DISK, SHARED_MEMORY, require};

    fn scratch() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("t").tempdir_in("/tmp").unwrap()
    }

    #[test]
    fn only_this_user_can_enter_it_and_nothing_stays() {
        let directory = PrivateDir::create().unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        assert!(path.as_os_str().len() <= 60);
        let file = directory.write("f", b"x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(directory.write("f", b"y").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::create_dir(path.join("bin")).unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn two_directories_have_different_names() {
        let (one, other) = (PrivateDir::create().unwrap(), PrivateDir::create().unwrap());
        assert_ne!(one.path(), other.path());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_preferred_whatever_its_position() {
        require!(SHARED_MEMORY, DISK);
        let shm = PathBuf::from("/dev/shm");
        let plain = tempfile::Builder::new().prefix("t").tempdir_in("/var/tmp").unwrap();
        let places = [plain.path().to_owned(), shm];
        let directory = PrivateDir::create_in(&places).unwrap();
        assert!(directory.is_memory_backed() && directory.path().starts_with("/dev/shm"));
        let directory = PrivateDir::create_in(&places[..1]).unwrap();
        assert!(!directory.is_memory_backed() && directory.path().starts_with(plain.path()));
    }

    #[test]
    fn a_place_where_others_could_replace_it_is_skipped() {
        let place = scratch();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(PrivateDir::create_in(&[place.path().to_owned()]).is_err());
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(PrivateDir::create_in(&[place.path().to_owned()]).is_ok());
    }

    #[test]
    fn unsuitable_places_are_skipped() {
        let place = scratch();
        for name in ["with space", "a:b", "quote'", &"long".repeat(12)] {
            fs::create_dir(place.path().join(name)).unwrap();
            assert!(is_suitable_and_in_memory(&place.path().join(name)).is_err(), "{name}");
        }
        fs::write(place.path().join("file"), "").unwrap();
        assert!(is_suitable_and_in_memory(&place.path().join("file")).is_err());
        assert!(is_suitable_and_in_memory(&place.path().join("absent")).is_err());
        assert!(is_suitable_and_in_memory(Path::new("tmp")).is_err());
    }
}
