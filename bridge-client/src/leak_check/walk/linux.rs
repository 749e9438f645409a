//! The walk on Linux. It uses descriptors instead of paths, so that a link put in its way cannot lead it elsewhere.
//!
//! The root of a container is usually an overlay. Everything that was changed in it is then in the upper layer, together
//! with the directories above it. Overlayfs reports the birth time that a directory has in the upper layer, if it is there.
//! So a directory that was born before the upper layer is not in it, and need not be entered: that is most of an image.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatVfsMountFlags};
use rustix::io::Errno;

use crate::leak_check::report::Spot;
use crate::leak_check::scope::{Kind, Scope};
use crate::leak_check::visitor::Visitor;

mod clock;
mod sparse;
mod status;

pub(in crate::leak_check) use clock::Moment;

use clock::Time;
use sparse::SparseReader;
use status::{Identity, Mount, Status};

/// Buffer of getdents(2).
const ENTRIES_SIZE: usize = 32 << 10;
/// Number of entries of a directory between two checks of the deadline.
const DEADLINE_CHECK_INTERVAL: u64 = 256;
/// Limit of the path of a directory that is entered. The kernel accepts no path of more than 4096 bytes (PATH_MAX), but
/// directories can be deeper.
const MAX_PATH: usize = 16 << 10;
/// Limit of files with several names that are remembered, so that each is searched once. Further ones are searched again.
const MAX_LINKED: usize = 1 << 20;

/// A walk, shared by its threads.
pub(in crate::leak_check) struct Walk {
    since: Time,
    scope: Scope,
    /// For messages: the roots of the file systems, or the directories.
    places: Vec<PathBuf>,
    /// Where the walk begins. These directories are skipped where they appear inside each other.
    begun: Vec<Identity>,
    /// The file system of `/` if it is an overlay, and when its upper layer was created.
    upper: Option<(Mount, Time)>,
    /// Files with several names that have been searched.
    linked: Mutex<HashSet<Identity>>,
}

/// A directory to be listed.
pub(in crate::leak_check) enum Directory {
    Open(Open),
    In(Arc<Open>, CString),
}

/// An open directory.
pub(in crate::leak_check) struct Open {
    fd: OwnedFd,
    path: PathBuf,
    mount: Mount,
}

impl Walk {
    /// A walk through what was changed since `start` in `scope`, and the directories where it begins.
    pub(in crate::leak_check) fn since(start: &Moment, scope: Scope) -> (Self, Vec<Directory>) {
        let mut walk = Self {
            since: start.earliest(),
            scope,
            places: Vec::new(),
            begun: Vec::new(),
            upper: None,
            linked: Mutex::default(),
        };
        let mut directories = Vec::new();
        if walk.scope.kind != Kind::Host {
            directories = walk.begin_in_file_systems();
        }
        // Also where the root cannot be written, as in a sandbox: nothing to search must not be reported as nothing found.
        if directories.is_empty() && walk.places.is_empty() {
            walk.scope.kind = Kind::Host;
            directories = walk.begin_in_user_directories();
        }
        if directories.is_empty() && walk.places.is_empty() {
            walk.scope.kind = Kind::Unknown;
            directories = walk.begin_in_file_systems();
        }
        (walk, directories)
    }

    /// The directories or file systems that are searched, for messages. `shown` masks and escapes a path.
    pub(in crate::leak_check) fn covers(&self, shown: impl Fn(&Path) -> String) -> String {
        let places: Vec<String> = self.places.iter().map(|path| shown(path)).collect();
        self.scope.covers(&places)
    }

    /// The file system of `/`, and that of the working directory unless it is certain that a builder discards it. The places
    /// where tools like to write come first.
    fn begin_in_file_systems(&mut self) -> Vec<Directory> {
        let Ok(root) = Open::at("/".into()) else { return Vec::new() };
        let root_mount = root.mount;
        let root = (!root.is_read_only()).then_some(root);
        if let Some(root) = &root {
            self.upper = if self.scope.is_part_of_overlay { None } else { root.upper_layer() };
            self.places.push("/".into());
        }
        let is_searched = |working: &Open| {
            working.mount == root_mount || self.scope.kind == Kind::Unknown && working.is_on_a_disk()
        };
        let working = working_directory().filter(is_searched);
        let mounts = [root.as_ref().map(|root| root.mount), working.as_ref().map(|working| working.mount)];
        let of_working = working.as_ref().filter(|working| working.mount != root_mount);
        let of_working = of_working.and_then(Open::root_of_mount);
        self.places.extend(of_working.as_ref().map(|root| root.path.clone()));
        let temporary = Open::at("/tmp".into()).ok();
        // The last is walked first.
        let starts = [root, of_working, temporary, home_directory(), working].into_iter().flatten();
        starts.filter(|open| mounts.contains(&Some(open.mount))).filter_map(|open| self.begin(open)).collect()
    }

    /// The working, the home and the temporary directory, a tmpfs too: it outlives COMMAND.
    fn begin_in_user_directories(&mut self) -> Vec<Directory> {
        let temporary = Open::at(std::env::temp_dir()).ok();
        let mut directories = Vec::new();
        // The last is walked first.
        for open in [temporary, home_directory(), working_directory()].into_iter().flatten() {
            if !open.is_generated() {
                let path = open.path.clone();
                if let Some(directory) = self.begin(open) {
                    directories.push(directory);
                    self.places.insert(0, path);
                }
            }
        }
        directories
    }

    /// Begins in `open` as well, unless the walk begins there already or nothing in it can have been changed.
    fn begin(&mut self, open: Open) -> Option<Directory> {
        let status = Status::of(&open.fd, c"", AtFlags::EMPTY_PATH).ok()?;
        let is_left_out = || {
            // The kernel's name of it: the path may have led through links.
            let path = std::fs::canonicalize(&open.path);
            !self.scope.left_out.is_empty()
                && self.scope.left_out.covers(path.as_deref().unwrap_or(&open.path))
        };
        if self.is_untouched(&status) || self.begun.contains(&status.identity) || is_left_out() {
            return None;
        }
        self.begun.push(status.identity);
        Some(Directory::Open(open))
    }

    /// Checks everything in `directory`. Directories in it are added to `inner`.
    pub(in crate::leak_check) fn list(
        &self,
        visitor: &mut impl Visitor,
        directory: Directory,
        inner: &mut Vec<Directory>,
    ) {
        if visitor.is_stopped() {
            return;
        }
        let open = match directory.open() {
            Ok(open) => Arc::new(open),
            Err(error) => return unless_gone(error, visitor),
        };
        let mut buffer = [MaybeUninit::uninit(); ENTRIES_SIZE];
        let mut entries = RawDir::new(&open.fd, &mut buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                visitor.count_unreadable();
                break;
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            count += 1;
            if count % DEADLINE_CHECK_INTERVAL == 0 && visitor.is_stopped() {
                break;
            }
            self.check(visitor, &open, name, inner);
        }
        visitor.count_checked(count);
    }

    fn check(&self, visitor: &mut impl Visitor, open: &Arc<Open>, name: &CStr, inner: &mut Vec<Directory>) {
        let status = match Status::of(&open.fd, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            Ok(status) => status,
            Err(error) => return unless_gone(error, visitor),
        };
        // Without mount ids, devices tell mounts apart. On overlayfs the device of a file may differ from that of directories.
        let by_device = matches!(status.mount, Mount::Device(_)) && status.kind != FileType::Directory;
        if status.mount != open.mount && !by_device {
            return;
        }
        if self.scope.left_out.contains(&open.path, name.to_bytes()) {
            return;
        }
        let is_changed = status.changed >= self.since;
        let path = || open.path.join(OsStr::from_bytes(name.to_bytes()));
        if is_changed {
            visitor.search_text(name.to_bytes(), Spot::Name, &path);
        }
        match status.kind {
            FileType::Directory if self.begun.contains(&status.identity) || self.is_untouched(&status) => {}
            FileType::Directory if open.path.as_os_str().len() > MAX_PATH => visitor.count_unreadable(),
            FileType::Directory => inner.push(Directory::In(Arc::clone(open), name.to_owned())),
            FileType::Symlink if is_changed => match rustix::fs::readlinkat(&open.fd, name, Vec::new()) {
                Ok(target) => visitor.search_text(target.to_bytes(), Spot::Target, &path),
                Err(error) => unless_gone(error, visitor),
            },
            FileType::RegularFile if is_changed => match self.open_file(open, name, &status) {
                Ok(None) => {}
                Ok(Some(file)) if status.is_sparse => visitor.search_file(&mut SparseReader::of(file), &path),
                Ok(Some(mut file)) => visitor.search_file(&mut file, &path),
                Err(error) => unless_gone(error, visitor),
            },
            FileType::Symlink
            | FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
    }

    /// Whether nothing in this directory or below can have been changed.
    fn is_untouched(&self, directory: &Status) -> bool {
        let Some(((mount, upper), born)) = self.upper.zip(directory.born) else { return false };
        // The times imply each other, unless the clock was set back meanwhile.
        directory.mount == mount && born < upper && directory.changed < self.since
    }

    /// Opens the file that `status` describes. `None` if it has been searched under another name, or was replaced.
    fn open_file(&self, open: &Open, name: &CStr, status: &Status) -> Result<Option<File>, Errno> {
        if status.links > 1 {
            let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
            if linked.contains(&status.identity) {
                return Ok(None);
            }
            if linked.len() < MAX_LINKED {
                linked.insert(status.identity);
            }
        }
        // NONBLOCK: if it was replaced by a FIFO, this must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&open.fd, name, flags, Mode::empty())?;
        let now = Status::of(&file, c"", AtFlags::EMPTY_PATH)?;
        let is_same = now.kind == FileType::RegularFile && now.identity == status.identity;
        Ok(is_same.then(|| file.into()))
    }
}

/// Counts an unreadable entry, unless it was removed meanwhile: other processes are still running.
fn unless_gone(error: Errno, visitor: &impl Visitor) {
    if ![Errno::NOENT, Errno::NOTDIR, Errno::LOOP].contains(&error) {
        visitor.count_unreadable();
    }
}

fn working_directory() -> Option<Open> {
    Open::at(std::env::current_dir().ok()?).ok()
}

fn home_directory() -> Option<Open> {
    Open::at(std::env::var_os("HOME")?.into()).ok()
}

impl Directory {
    fn open(self) -> Result<Open, Errno> {
        match self {
            Self::Open(open) => Ok(open),
            Self::In(parent, name) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&parent.fd, &name, flags, Mode::empty())?;
                let path = parent.path.join(OsStr::from_bytes(name.to_bytes()));
                Ok(Open { fd, path, mount: parent.mount })
            }
        }
    }
}

impl Open {
    fn at(path: PathBuf) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        let mount = Status::of(&fd, c"", AtFlags::EMPTY_PATH)?.mount;
        Ok(Self { fd, path, mount })
    }

    /// Whether files can become part of an image: not in memory, and not generated by the kernel.
    fn is_on_a_disk(&self) -> bool {
        // statfs(2)
        const TMPFS_MAGIC: u32 = 0x0102_1994;
        rustix::fs::fstatfs(&self.fd)
            .is_ok_and(|found| found.f_type as u32 != TMPFS_MAGIC && found.f_blocks > 0)
    }

    /// Whether nothing in it can have been changed.
    fn is_read_only(&self) -> bool {
        rustix::fs::fstatvfs(&self.fd).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// Whether the kernel generates the files: /proc contains environments with the secrets.
    fn is_generated(&self) -> bool {
        // statfs(2)
        const PROC_SUPER_MAGIC: u32 = 0x9fa0;
        const SYSFS_MAGIC: u32 = 0x6265_6572;
        rustix::fs::fstatfs(&self.fd)
            .is_ok_and(|found| [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&(found.f_type as u32)))
    }

    /// If this is the root of an overlay: its file system, and when the upper layer was created. That is the birth time of
    /// the root itself, which is always in the upper layer.
    fn upper_layer(&self) -> Option<(Mount, Time)> {
        const OVERLAYFS_SUPER_MAGIC: u32 = 0x794c_7630;
        let status = Status::of(&self.fd, c"", AtFlags::EMPTY_PATH).ok()?;
        let is_overlay =
            rustix::fs::fstatfs(&self.fd).is_ok_and(|found| found.f_type as u32 == OVERLAYFS_SUPER_MAGIC);
        (is_overlay && status.is_mount_root).then_some((self.mount, status.born?))
    }

    /// The root of the file system that this directory is in.
    fn root_of_mount(&self) -> Option<Self> {
        let opened = self.path.ancestors().map_while(|path| Self::at(path.to_owned()).ok());
        opened.take_while(|above| above.mount == self.mount).last()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn mounts_are_distinguished() {
        let root = Open::at("/".into()).unwrap();
        let proc = Open::at("/proc".into());
        assert!(proc.is_ok_and(|proc| proc.mount != root.mount && !proc.is_on_a_disk()));
        let mut scratch = tempfile::NamedTempFile::new().unwrap();
        scratch.write_all(b"x").unwrap();
        let directory = Open::at(scratch.path().parent().unwrap().into()).unwrap();
        let of_mount = directory.root_of_mount().unwrap();
        assert!(of_mount.mount == directory.mount && directory.path.starts_with(&of_mount.path));
    }
}
