//! Directories of Linux: by descriptors, so that nobody can lead the walk elsewhere by putting a link into its way.
//!
//! A container's root is an overlay as a rule. Whatever is changed in it is in its upper layer then, with every directory
//! above it, and what was born before that layer is not in it: most of an image need not be looked at. Overlayfs gives
//! a directory the birth time that it has in the upper layer, if it is there.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, StatxAttributes, StatxFlags, StatxTimestamp,
};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::report::Spot;
use super::workers::Worker;

/// What getdents(2) fills at once.
const NAMES: usize = 32 << 10;
/// So often somebody looks at the clock in a large directory.
const ROUND: u64 = 256;
/// Directories whose path is longer are not entered. The kernel knows no path of more than 4096 bytes (PATH_MAX), but
/// directories can be deeper.
const MAX_PATH: usize = 16 << 10;
/// Files with several names that are remembered, so that each is searched once. Beyond, they are searched again.
const MAX_LINKED: usize = 1 << 20;
/// The clock was set back if it is off by more seconds: two clocks that are read one after the other are, by one.
const CLOCK_SLACK: i64 = 1;

/// Seconds and nanoseconds of the clock that file systems use.
type Time = (i64, i64);

/// A point in time, by the clock that file systems use and by one that nobody sets.
pub(super) struct Moment {
    files: Time,
    steady: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { files: clock(ClockId::RealtimeCoarse), steady: Instant::now() }
    }

    /// Files that were changed since have a time that is not before this one, also if the clock was set back meanwhile.
    fn earliest(&self) -> Time {
        let (seconds, nanos) = clock(ClockId::Realtime);
        let passed = i64::try_from(self.steady.elapsed().as_secs()).unwrap_or(i64::MAX);
        let by_now = (seconds.saturating_sub(passed), nanos);
        if self.files.0.saturating_sub(by_now.0) > CLOCK_SLACK { by_now } else { self.files }
    }
}

fn clock(id: ClockId) -> Time {
    let now = clock_gettime(id);
    (now.tv_sec, now.tv_nsec)
}

/// What a walk knows from its beginning.
pub(super) struct Walk {
    since: Time,
    /// Where it begins. Met again inside of another, they are done already.
    begun: Vec<Identity>,
    /// The file system of `/`, if it is an overlay, and when its upper layer was made.
    upper: Option<(Mount, Time)>,
    /// Files with several names that were searched.
    linked: Mutex<HashSet<Identity>>,
}

/// A directory that is to be listed.
pub(super) enum Directory {
    Open(Open),
    In(Arc<Open>, CString),
}

/// An open directory.
pub(super) struct Open {
    fd: OwnedFd,
    path: PathBuf,
    mount: Mount,
}

/// What is at a name.
struct Status {
    kind: FileType,
    changed: Time,
    /// Not every file system knows that.
    born: Option<Time>,
    identity: Identity,
    mount: Mount,
    links: u64,
    /// Of the directories of a mounted file system the uppermost. Linux 5.8 and later.
    is_mount_root: bool,
    /// Has holes, which need not be read.
    is_sparse: bool,
}

/// Device and inode.
type Identity = (u64, u64);

/// A mounted file system. One may be mounted at several places, so its device alone does not tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mount {
    /// Linux 5.8 and later.
    Id(u64),
    Device(u64),
}

impl Walk {
    /// A walk through what was changed since `start`, and where it begins: at last with `/` and the root of the working
    /// directory's file system, but first where tools like to write.
    pub(super) fn since(start: &Moment) -> (Self, Vec<Directory>) {
        let mut walk =
            Self { since: start.earliest(), begun: Vec::new(), upper: None, linked: Mutex::default() };
        let mut directories = Vec::new();
        let Ok(root) = Open::at("/".into()) else { return (walk, directories) };
        walk.upper = root.upper_layer();
        let working = std::env::current_dir().ok().and_then(|path| Open::at(path).ok());
        let working = working.filter(|working| working.mount == root.mount || working.is_on_a_disk());
        let mounts = [Some(root.mount), working.as_ref().map(|working| working.mount)];
        let of_working = working.as_ref().filter(|working| working.mount != root.mount);
        let of_working = of_working.and_then(Open::root_of_mount);
        let home = std::env::var_os("HOME").and_then(|home| Open::at(home.into()).ok());
        let temporary = Open::at("/tmp".into()).ok();
        // The last is walked first.
        for open in [Some(root), of_working, temporary, home, working].into_iter().flatten() {
            let Ok(status) = Status::of(&open.fd, c"", AtFlags::EMPTY_PATH) else { continue };
            let is_searched = mounts.contains(&Some(open.mount)) && !walk.is_untouched(&status);
            if is_searched && !walk.begun.contains(&status.identity) {
                walk.begun.push(status.identity);
                directories.push(Directory::Open(open));
            }
        }
        (walk, directories)
    }

    /// Looks at everything in `directory`. Directories in it go to `inner`.
    pub(super) fn list(&self, worker: &mut Worker<'_>, directory: Directory, inner: &mut Vec<Directory>) {
        if worker.is_over() {
            return;
        }
        let open = match directory.open() {
            Ok(open) => Arc::new(open),
            Err(error) => return unless_gone(error, worker),
        };
        let mut buffer = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(&open.fd, &mut buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                worker.unreadable();
                break;
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            count += 1;
            if count % ROUND == 0 && worker.is_over() {
                break;
            }
            self.look(worker, &open, name, inner);
        }
        worker.looked_at(count);
    }

    fn look(&self, worker: &mut Worker<'_>, open: &Arc<Open>, name: &CStr, inner: &mut Vec<Directory>) {
        let status = match Status::of(&open.fd, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            Ok(status) => status,
            Err(error) => return unless_gone(error, worker),
        };
        // Without its id a mount is known by its device; overlayfs may give files other ones than directories.
        let by_device = matches!(status.mount, Mount::Device(_)) && status.kind != FileType::Directory;
        if status.mount != open.mount && !by_device {
            return;
        }
        let is_changed = status.changed >= self.since;
        let path = || open.path.join(OsStr::from_bytes(name.to_bytes()));
        if is_changed {
            worker.crew.searcher.text(name.to_bytes(), Spot::Name, &path);
        }
        match status.kind {
            FileType::Directory if self.begun.contains(&status.identity) || self.is_untouched(&status) => {}
            FileType::Directory if open.path.as_os_str().len() > MAX_PATH => worker.unreadable(),
            FileType::Directory => inner.push(Directory::In(Arc::clone(open), name.to_owned())),
            FileType::Symlink if is_changed => match rustix::fs::readlinkat(&open.fd, name, Vec::new()) {
                Ok(target) => worker.crew.searcher.text(target.to_bytes(), Spot::Target, &path),
                Err(error) => unless_gone(error, worker),
            },
            FileType::RegularFile if is_changed => match self.open_file(open, name, &status) {
                Ok(None) => {}
                Ok(Some(file)) if status.is_sparse => worker.search(&mut WithoutHoles::of(file), &path),
                Ok(Some(mut file)) => worker.search(&mut file, &path),
                Err(error) => unless_gone(error, worker),
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

    /// Whether nothing in this directory, nor further down, can have been changed.
    fn is_untouched(&self, directory: &Status) -> bool {
        let Some(((mount, upper), born)) = self.upper.zip(directory.born) else { return false };
        // The second says what the first says already, unless the clock was set back meanwhile.
        directory.mount == mount && born < upper && directory.changed < self.since
    }

    /// The file that was looked at; `None` if it has been searched under another name, or is another one by now.
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
        // Should it have become a FIFO, this does not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&open.fd, name, flags, Mode::empty())?;
        let now = Status::of(&file, c"", AtFlags::EMPTY_PATH)?;
        let is_it = now.kind == FileType::RegularFile && now.identity == status.identity;
        Ok(is_it.then(|| file.into()))
    }
}

/// COMMAND's children, and others, may still remove what they like.
fn unless_gone(error: Errno, worker: &Worker<'_>) {
    if ![Errno::NOENT, Errno::NOTDIR, Errno::LOOP].contains(&error) {
        worker.unreadable();
    }
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

    /// Neither in memory, where nothing can reach an image, nor made by the kernel, as /proc is.
    fn is_on_a_disk(&self) -> bool {
        // statfs(2)
        const TMPFS_MAGIC: u32 = 0x0102_1994;
        rustix::fs::fstatfs(&self.fd)
            .is_ok_and(|found| found.f_type as u32 != TMPFS_MAGIC && found.f_blocks > 0)
    }

    /// If this is the root of an overlay: its file system, and when the upper layer was made. That is the birth time of
    /// the root itself, which is always in it.
    fn upper_layer(&self) -> Option<(Mount, Time)> {
        const OVERLAYFS_SUPER_MAGIC: u32 = 0x794c_7630;
        let status = Status::of(&self.fd, c"", AtFlags::EMPTY_PATH).ok()?;
        let is_overlay =
            rustix::fs::fstatfs(&self.fd).is_ok_and(|found| found.f_type as u32 == OVERLAYFS_SUPER_MAGIC);
        (is_overlay && status.is_mount_root).then_some((self.mount, status.born?))
    }

    /// The uppermost directory of this one's file system.
    fn root_of_mount(&self) -> Option<Self> {
        let opened = self.path.ancestors().map_while(|path| Self::at(path.to_owned()).ok());
        opened.take_while(|above| above.mount == self.mount).last()
    }
}

impl Status {
    /// What is at `name` in `directory`.
    fn of(directory: impl AsFd, name: &CStr, flags: AtFlags) -> Result<Self, Errno> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
        match rustix::fs::statx(&directory, name, flags, wanted) {
            Ok(status) => {
                let device = u64::from(status.stx_dev_major) << 32 | u64::from(status.stx_dev_minor);
                let has = |what: StatxFlags| status.stx_mask & what.bits() != 0;
                let time = |time: StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
                Ok(Self {
                    kind: FileType::from_raw_mode(status.stx_mode.into()),
                    changed: time(status.stx_ctime),
                    born: has(StatxFlags::BTIME).then(|| time(status.stx_btime)),
                    identity: (device, status.stx_ino),
                    mount: if has(StatxFlags::MNT_ID) {
                        Mount::Id(status.stx_mnt_id)
                    } else {
                        Mount::Device(device)
                    },
                    links: status.stx_nlink.into(),
                    is_mount_root: status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
                    is_sparse: status.stx_blocks.saturating_mul(512) < status.stx_size,
                })
            }
            // Before Linux 4.11, and where a filter of system calls does not know it.
            Err(Errno::NOSYS) => {
                let status = rustix::fs::statat(&directory, name, flags)?;
                Ok(Self {
                    kind: FileType::from_raw_mode(status.st_mode),
                    changed: (status.st_ctime as i64, status.st_ctime_nsec as i64),
                    born: None,
                    identity: (status.st_dev, status.st_ino),
                    mount: Mount::Device(status.st_dev),
                    links: status.st_nlink as u64,
                    is_mount_root: false,
                    is_sparse: (status.st_blocks as i64).saturating_mul(512) < status.st_size as i64,
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// The bytes of a file that are on disk, without the zeros between them: `/var/log/lastlog` may say that it has
/// gigabytes.
struct WithoutHoles {
    file: File,
    at: u64,
    /// Where the next hole begins.
    until: u64,
}

impl WithoutHoles {
    fn of(file: File) -> Self {
        Self { file, at: 0, until: 0 }
    }
}

impl Read for WithoutHoles {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.until {
            match rustix::fs::seek(&self.file, SeekFrom::Data(self.at)) {
                Ok(at) => self.at = at,
                Err(Errno::NXIO) => return Ok(0), // nothing but a hole follows
                Err(error) => return Err(error.into()),
            }
            self.until = rustix::fs::seek(&self.file, SeekFrom::Hole(self.at))?;
            self.file.seek(io::SeekFrom::Start(self.at))?;
        }
        let wanted = usize::try_from(self.until - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_hides_nothing() {
        let now = Moment::now();
        assert_eq!(now.earliest(), now.files);
        let (seconds, nanos) = now.files;
        // COMMAND ran for ten minutes, in which the clock went back by an hour.
        let Some(steady) = now.steady.checked_sub(Duration::from_secs(600)) else { return };
        let before = Moment { files: (seconds + 3600 - 600, nanos), steady };
        assert!(before.earliest().0 <= seconds - 600 + CLOCK_SLACK);
    }

    #[test]
    fn a_file_with_holes_is_read_without_them() {
        let file = tempfile::tempfile().unwrap();
        file.write_at(b"begin", 0).unwrap();
        file.write_at(b"middle", 1 << 30).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut read = Vec::new();
        WithoutHoles::of(file).read_to_end(&mut read).unwrap();
        read.retain(|byte| *byte != 0);
        assert_eq!(read, b"beginmiddle");
    }

    #[test]
    fn mounts_are_told_apart() {
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
