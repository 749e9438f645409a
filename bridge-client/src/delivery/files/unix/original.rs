//! What is at the path of a file for COMMAND already: it is moved to `NAME.sb-original` beside it, and moved back when COMMAND
//! has ended.
//!
//! The link and the original are exchanged in one step, so that after SIGKILL at any moment one of the two names has the
//! original. The next `exec` with the same path finds it there ([`recover`]). Nothing is ever overwritten.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use tracing::warn;

use super::parent::Parent;
use super::rename::{exchange, is_unsupported, move_to_free_name};
use super::{Place, leads_to};
use crate::delivery::access::Access;
use crate::delivery::error::FileProblem;
use crate::delivery::files::failed;
use crate::exec::private_dir::{self, Holder};

/// Where the original is while COMMAND runs.
const SAVED: &str = ".sb-original";
/// Where a file is moved that COMMAND put in the place of the link.
const CHANGED: &str = ".sb-changed";
/// A link that will take the place of the original.
const NEW: &str = ".sb-new";
/// Limit of names for such files, and of changes by other processes.
const ATTEMPTS: usize = 8;
/// A file of COMMAND that is larger is not searched for the secret.
const MAX_SEARCHED: u64 = 4 << 20;

/// An original that was moved away.
#[derive(Debug)]
pub(super) struct Original {
    saved: OsString,
    /// Locked while the original is away, so that an `exec` in another container knows.
    _lock: Option<OwnedFd>,
}

impl Original {
    /// Puts the link of `place` where something else is, and moves that away. `None` if there is nothing any more.
    pub(super) fn replace(place: &Place, access: Access) -> Result<Option<Self>, FileProblem> {
        let (parent, name, path) = (&place.parent, place.name.as_os_str(), place.path());
        let saved = beside(name, SAVED);
        let failed = |error: Errno| failed("move away", &path)(error.into());
        let lock = match lock(parent, name) {
            Lock::Taken => return Err(FileProblem::InUse(path)),
            Lock::Held(lock) => Some(lock),
            Lock::Impossible => None,
        };
        match place.link(&saved, access) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(FileProblem::Saved { at: path, saved: parent.join(&saved) }),
            Err(error) => return Err(failed(error)),
        }
        let moved = match exchange(parent, name, &saved) {
            Err(error) if is_unsupported(error) => replace_in_steps(place, &saved, access),
            done => done,
        };
        match moved {
            Ok(()) => Ok(Some(Self { saved, _lock: lock })),
            Err(error) => {
                remove_link(place, &saved);
                if error == Errno::NOENT { Ok(None) } else { Err(failed(error)) }
            }
        }
    }

    /// Moves the original back. What COMMAND put there instead of the link is moved aside, or removed if the secret is in it.
    pub(super) fn restore(self, place: &Place) {
        let path = place.path();
        for _ in 0..ATTEMPTS {
            match restore_once(place, &self.saved) {
                Ok(None) => return,
                Ok(Some(foreign)) => return keep_or_remove(place, &foreign),
                // Another process created something meanwhile.
                Err(Errno::EXIST | Errno::NOENT) if exists(&place.parent, &self.saved) => {}
                Err(Errno::NOENT) => {
                    warn!("cannot restore {}: {} was removed", path.display(), self.saved.display());
                    return;
                }
                Err(error) => {
                    let error = io::Error::from(error);
                    warn!(
                        "cannot restore {}, which is now {}: {error}",
                        path.display(),
                        self.saved.display()
                    );
                    return;
                }
            }
        }
        warn!("cannot restore {}, which is now {}: it keeps changing", path.display(), self.saved.display());
    }
}

/// Returns the name of what COMMAND had put at the path.
fn restore_once(place: &Place, saved: &OsStr) -> Result<Option<OsString>, Errno> {
    let (parent, name) = (&place.parent, place.name.as_os_str());
    if !exists(parent, name) {
        return move_to_free_name(parent, saved, name).map(|()| None);
    }
    match exchange(parent, name, saved) {
        Ok(()) if place.leads_to(saved).is_ok_and(|to| to == place.to) => {
            unlinkat(parent, saved, AtFlags::empty()).map(|()| None)
        }
        Ok(()) => Ok(Some(saved.to_owned())),
        Err(error) if is_unsupported(error) => {
            let foreign = if place.leads_to(name).is_ok_and(|to| to == place.to) {
                unlinkat(parent, name, AtFlags::empty())?;
                None
            } else {
                Some(move_aside(parent, name, name)?)
            };
            move_to_free_name(parent, saved, name).map(|()| foreign)
        }
        Err(error) => Err(error),
    }
}

/// What COMMAND had put at the path is at `foreign`.
fn keep_or_remove(place: &Place, foreign: &OsStr) {
    let (parent, path) = (&place.parent, place.path());
    if holds_secret(parent, foreign, &place.to) {
        match unlinkat(parent, foreign, AtFlags::empty()) {
            Ok(()) => warn!("COMMAND put another file with the secret at {}: it was removed", path.display()),
            Err(error) => {
                let (error, foreign) = (io::Error::from(error), parent.join(foreign));
                warn!("cannot remove {}, which holds the secret: {error}", foreign.display());
            }
        }
        return;
    }
    let moved = if Path::new(foreign).to_string_lossy().contains(CHANGED) {
        Ok(foreign.to_owned())
    } else {
        move_aside(parent, foreign, &place.name)
    };
    let now = parent.join(moved.as_deref().unwrap_or(foreign));
    warn!("COMMAND put something else at {}: it is now {}", path.display(), now.display());
}

/// Moves `from` to a free name made of `name`.
fn move_aside(parent: &Parent, from: &OsStr, name: &OsStr) -> Result<OsString, Errno> {
    for number in 0..ATTEMPTS {
        let mut to = beside(name, CHANGED);
        if number > 0 {
            to.push(format!("-{number}"));
        }
        match move_to_free_name(parent, from, &to) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| to),
        }
    }
    Err(Errno::EXIST)
}

/// Whether the file contains the bytes of the secret that is at `secret`.
fn holds_secret(parent: &Parent, name: &OsStr, secret: &Path) -> bool {
    let read = |file: File| -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        io::Read::read_to_end(&mut io::Read::take(file, MAX_SEARCHED), &mut bytes)?;
        Ok(bytes)
    };
    let Ok(secret) = File::open(secret).and_then(read) else { return false };
    let secret = secret.trim_ascii();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(true) = stat(parent, name).map(|found| is(&found, FileType::RegularFile)) else { return false };
    let opened = openat(parent, name, flags, Mode::empty()).map_err(io::Error::from);
    opened
        .and_then(|file| read(file.into()))
        .is_ok_and(|bytes| !secret.is_empty() && bytes.windows(secret.len()).any(|part| part == secret))
}

/// For file systems that cannot exchange: `saved`, the link, becomes a second name of the original, and then a link takes
/// the original's place.
fn replace_in_steps(place: &Place, saved: &OsStr, access: Access) -> Result<(), Errno> {
    let (parent, name) = (&place.parent, place.name.as_os_str());
    remove_link(place, saved);
    match linkat(parent, name, parent, saved, AtFlags::empty()) {
        Ok(()) => {
            let new = beside(name, NEW);
            let undo = |error| {
                let _ = unlinkat(parent, saved, AtFlags::empty());
                error
            };
            place.link(&new, access).map_err(undo)?;
            renameat(parent, &new, parent, name).map_err(|error| {
                remove_link(place, &new);
                undo(error)
            })
        }
        Err(error @ (Errno::EXIST | Errno::NOENT)) => Err(error),
        // A directory, or no hard links: for a moment nothing is at the path.
        Err(_) => {
            move_to_free_name(parent, name, saved)?;
            place.link(name, access).inspect_err(|_| {
                let _ = move_to_free_name(parent, saved, name);
            })
        }
    }
}

/// Brings back what an `exec` that was killed left at `name` in `parent`.
///
/// # Errors
/// [`FileProblem::InUse`] if that `exec` still runs, [`FileProblem::Saved`] if it cannot be known what belongs at the path.
pub(super) fn recover(parent: &Parent, name: &OsStr) -> Result<(), FileProblem> {
    let (saved, path) = (beside(name, SAVED), parent.join(name));
    let failed = |error: Errno| failed("restore", &path)(error.into());
    let link = |name: &OsStr| leads_to(parent, name).ok().and_then(|to| private_dir::holder_of(&to));
    let is_held = |link: &Option<(PathBuf, Holder)>| matches!(link, Some((_, Holder::Running)));
    let new = beside(name, NEW);
    if matches!(link(&new), Some((_, Holder::Ended | Holder::Absent))) {
        unlinkat(parent, &new, AtFlags::empty()).map_err(failed)?;
    }
    let at_saved = stat(parent, &saved);
    let (here, there) = (link(name), link(&saved));
    let Some(at_saved) = at_saved else {
        // Only a link without an original. Where its private directory is not here, it may be that of a running container.
        return match here {
            Some((_, Holder::Running)) => Err(FileProblem::InUse(path)),
            Some((directory, Holder::Ended)) => {
                unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
                remove_directory(&directory);
                Ok(())
            }
            Some((_, Holder::Absent)) | None => Ok(()),
        };
    };
    let locked = match lock(parent, &saved) {
        Lock::Taken => return Err(FileProblem::InUse(path)),
        lock @ (Lock::Held(_) | Lock::Impossible) => lock,
    };
    if is_held(&here) || is_held(&there) {
        return Err(FileProblem::InUse(path));
    }
    match (stat(parent, name), here, there) {
        // The link had not taken the original's place yet, or did so no longer.
        (_, _, Some((directory, _))) => {
            unlinkat(parent, &saved, AtFlags::empty()).map_err(failed)?;
            remove_directory(&directory);
        }
        (None, _, None) => {
            move_to_free_name(parent, &saved, name).map_err(failed)?;
            report_recovered(parent, name, &saved);
        }
        (Some(_), Some((directory, _)), None) => {
            match exchange(parent, name, &saved) {
                Ok(()) => unlinkat(parent, &saved, AtFlags::empty()).map_err(failed)?,
                Err(error) if is_unsupported(error) => {
                    unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
                    move_to_free_name(parent, &saved, name).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
            remove_directory(&directory);
            report_recovered(parent, name, &saved);
        }
        // Two names of one file.
        (Some(at), None, None) if (at.st_dev, at.st_ino) == (at_saved.st_dev, at_saved.st_ino) => {
            unlinkat(parent, &saved, AtFlags::empty()).map_err(failed)?;
        }
        (Some(_), None, None) => return Err(FileProblem::Saved { at: path, saved: parent.join(&saved) }),
    }
    drop(locked);
    Ok(())
}

fn report_recovered(parent: &Parent, name: &OsStr, saved: &OsStr) {
    let (path, saved) = (parent.join(name), parent.join(saved));
    warn!("restored {}: an exec that was killed had moved it to {}", path.display(), saved.display());
}

/// The bytes of secrets that the `exec` left in memory.
fn remove_directory(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
}

/// Removes our link `name`.
fn remove_link(place: &Place, name: &OsStr) {
    if place.leads_to(name).is_ok_and(|to| to == place.to) {
        let _ = unlinkat(&place.parent, name, AtFlags::empty());
    }
}

enum Lock {
    Held(OwnedFd),
    /// By another process.
    Taken,
    /// Neither a file nor a directory that this user can read, or the file system has no locks.
    Impossible,
}

fn lock(parent: &Parent, name: &OsStr) -> Lock {
    let lockable = stat(parent, name)
        .is_some_and(|found| is(&found, FileType::RegularFile) || is(&found, FileType::Directory));
    if !lockable {
        return Lock::Impossible;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(opened) = openat(parent, name, flags, Mode::empty()) else { return Lock::Impossible };
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Held(opened),
        Err(Errno::WOULDBLOCK) => Lock::Taken,
        Err(_) => Lock::Impossible,
    }
}

fn stat(parent: &Parent, name: &OsStr) -> Option<Stat> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn exists(parent: &Parent, name: &OsStr) -> bool {
    stat(parent, name).is_some()
}

fn is(found: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(found.st_mode) == kind
}

fn beside(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}
