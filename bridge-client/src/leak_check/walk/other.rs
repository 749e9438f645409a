//! The walk on other systems, by paths.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::leak_check::report::Spot;
use crate::leak_check::scope::{Kind, Scope};
use crate::leak_check::visitor::Visitor;

/// Number of entries of a directory between two checks of the deadline.
const DEADLINE_CHECK_INTERVAL: u64 = 256;
/// How far behind the time of a file may be: the file systems of Windows use a clock that ticks 64 times per second.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// A point in time.
pub(in crate::leak_check) struct Moment(SystemTime);

impl Moment {
    pub(in crate::leak_check) fn now() -> Self {
        Self(SystemTime::now())
    }
}

/// A walk, shared by its threads.
pub(in crate::leak_check) struct Walk {
    since: SystemTime,
    scope: Scope,
    /// Where it begins, for messages.
    places: Vec<PathBuf>,
}

/// A directory to be listed.
pub(in crate::leak_check) struct Directory {
    path: PathBuf,
    file_system: FileSystem,
}

impl Walk {
    /// A walk through what was changed since `start`, and the directories where it begins: on a host those in which tools
    /// write, else the root, and the root of the working directory's drive.
    pub(in crate::leak_check) fn since(start: &Moment, scope: Scope) -> (Self, Vec<Directory>) {
        let places = if scope.kind == Kind::Host { user_directories() } else { roots(scope.kind) };
        let open = |path: &PathBuf| {
            let file_system = file_system(&fs::metadata(path).ok()?);
            Some(Directory { path: path.clone(), file_system })
        };
        let directories = places.iter().filter_map(open).collect();
        (Self { since: start.0.checked_sub(CLOCK_TICK).unwrap_or(start.0), scope, places }, directories)
    }

    /// The directories or file systems that are searched, for messages. `shown` masks and escapes a path.
    pub(in crate::leak_check) fn covers(&self, shown: impl Fn(&Path) -> String) -> String {
        let places: Vec<String> = self.places.iter().map(|path| shown(path)).collect();
        self.scope.covers(&places)
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
        let entries = match fs::read_dir(&directory.path) {
            Ok(entries) => entries,
            Err(error) => return unless_gone(&error, visitor),
        };
        let mut count = 0;
        for entry in entries {
            count += 1;
            if count % DEADLINE_CHECK_INTERVAL == 0 && visitor.is_stopped() {
                break;
            }
            match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok((path, metadata)) => self.check(visitor, path, &metadata, directory.file_system, inner),
                Err(error) => unless_gone(&error, visitor),
            }
        }
        visitor.count_checked(count);
    }

    fn check(
        &self,
        visitor: &mut impl Visitor,
        path: PathBuf,
        metadata: &Metadata,
        expected: FileSystem,
        inner: &mut Vec<Directory>,
    ) {
        if file_system(metadata) != expected {
            return;
        }
        let is_changed = changed(metadata).is_none_or(|changed| changed >= self.since);
        let shown = || path.clone();
        if is_changed && let Some(name) = path.file_name() {
            visitor.search_text(name.as_encoded_bytes(), Spot::Name, &shown);
        }
        if leads_elsewhere(metadata) {
            if is_changed && let Ok(target) = fs::read_link(&path) {
                visitor.search_text(target.as_os_str().as_encoded_bytes(), Spot::Target, &shown);
            }
        } else if metadata.is_dir() {
            inner.push(Directory { path, file_system: expected });
        } else if metadata.is_file() && is_changed {
            match File::open(&path) {
                Ok(mut file) => visitor.search_file(&mut file, &shown),
                Err(error) => unless_gone(&error, visitor),
            }
        }
    }
}

/// The root, and the root of the working directory's drive, unless it is certain that a builder discards that.
fn roots(kind: Kind) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(ROOT)];
    let working = std::env::current_dir().ok().filter(|_| kind == Kind::Unknown);
    let of_working = working.as_deref().and_then(|path| path.ancestors().last()).map(Path::to_owned);
    places.extend(of_working.filter(|root| root != Path::new(ROOT)));
    places
}

/// The working, the home and the temporary directory, without those in another one. All of them are where links lead.
fn user_directories() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let all = [std::env::current_dir().ok(), home, Some(std::env::temp_dir())];
    let mut places: Vec<PathBuf> = Vec::new();
    for path in all.into_iter().flatten().filter_map(|path| fs::canonicalize(path).ok()) {
        if !places.iter().any(|place| path.starts_with(place)) {
            places.retain(|place| !place.starts_with(&path));
            places.push(path);
        }
    }
    if places.is_empty() { vec![PathBuf::from(ROOT)] } else { places }
}

/// Counts an unreadable entry, unless it was removed meanwhile: other processes are still running.
fn unless_gone(error: &io::Error, visitor: &impl Visitor) {
    if error.kind() != io::ErrorKind::NotFound {
        visitor.count_unreadable();
    }
}

#[cfg(windows)]
use windows::*;
#[cfg(windows)]
mod windows {
    use std::os::windows::fs::MetadataExt as _;

    use super::*;

    pub(super) const ROOT: &str = r"C:\";
    /// Other volumes are behind reparse points, which are not entered.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) struct FileSystem;

    pub(super) fn file_system(_: &Metadata) -> FileSystem {
        FileSystem
    }

    /// Windows keeps no time of change that programs cannot set. A file that is written gets a new time of writing, and a file
    /// that is created with an old time of writing gets a new time of creation.
    pub(super) fn changed(metadata: &Metadata) -> Option<SystemTime> {
        Some(metadata.modified().ok()?.max(metadata.created().ok()?))
    }

    /// Links, junctions, mounted volumes, and files that are downloaded when they are read.
    pub(super) fn leads_elsewhere(metadata: &Metadata) -> bool {
        const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
        metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
    }
}

#[cfg(unix)]
use unix::*;
#[cfg(unix)]
mod unix {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    pub(super) const ROOT: &str = "/";
    /// Its device.
    pub(super) type FileSystem = u64;

    pub(super) fn file_system(metadata: &Metadata) -> FileSystem {
        metadata.dev()
    }

    pub(super) fn changed(metadata: &Metadata) -> Option<SystemTime> {
        let since_epoch =
            Duration::new(metadata.ctime().try_into().ok()?, metadata.ctime_nsec().try_into().ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }

    pub(super) fn leads_elsewhere(metadata: &Metadata) -> bool {
        metadata.is_symlink()
    }
}
