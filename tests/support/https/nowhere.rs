//! A search for a token in everything that a build has: memory, environment and files of its processes, and its traffic.
//!
//! The processes are stopped while they are searched. A search that finds nothing proves nothing unless it can find, so
//! each step plants another value in every place, and [`Nowhere::assert`] fails where that one was not found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::LIMIT;

/// Where a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Memory,
    Environment,
    Arguments,
    /// What the step has written: caches, lock files, logs.
    Files,
    /// File systems in memory.
    SharedMemory,
    Traffic,
}

/// The search.
pub struct Nowhere {
    token: Vec<(String, Finder<'static>)>,
    planted: Finder<'static>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    token: BTreeSet<String>,
    planted: BTreeSet<Place>,
    searched: BTreeMap<Place, u64>,
    /// How often the processes were stopped, and the most that there were.
    stops: usize,
    processes: usize,
}

/// How much is read at once, and how much of it again with the next: no needle is longer.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 256;

impl Nowhere {
    /// Searches for `token`, and for `planted`, which must be found.
    pub fn new(token: &str, planted: &str) -> Self {
        let needles = encodings(token);
        assert!(needles.iter().all(|(_, needle)| needle.len() < OVERLAP && needle.len() > 10));
        Self {
            token: needles
                .into_iter()
                .map(|(name, needle)| (name, Finder::new(&needle).into_owned()))
                .collect(),
            planted: Finder::new(planted).into_owned(),
            found: Mutex::default(),
        }
    }

    /// Stops the processes that `list` finds, searches their memory, environment and arguments, and lets them go on.
    /// `more` is called with their ids while they are stopped.
    pub fn stop_and_search(&self, list: impl Fn() -> BTreeSet<i32>, more: impl FnOnce(&BTreeSet<i32>)) {
        let stopped = stop(list);
        for pid in &stopped {
            self.search_process(*pid);
        }
        more(&stopped);
        for pid in &stopped {
            let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::CONT);
        }
        let mut found = self.lock();
        found.stops += 1;
        found.processes = found.processes.max(stopped.len());
    }

    fn search_process(&self, pid: i32) {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
        let name = name.trim();
        for (place, file) in [(Place::Environment, "environ"), (Place::Arguments, "cmdline")] {
            let bytes = fs::read(proc.join(file)).unwrap_or_default();
            self.check(place, &format!("{file} of {name}"), &bytes);
        }
        let (Ok(memory), Ok(maps)) = (File::open(proc.join("mem")), fs::read_to_string(proc.join("maps")))
        else {
            return;
        };
        let mut buffer = vec![0; PIECE + OVERLAP];
        for line in maps.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (range, permissions) = (fields.next().unwrap(), fields.next().unwrap());
            if !permissions.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut at = start;
            while at < end {
                let length = usize::try_from(end - at).unwrap().min(buffer.len());
                // Pages that cannot be read hold nothing.
                if let Ok(read) = memory.read_at(&mut buffer[..length], at) {
                    self.check(Place::Memory, &format!("memory of {name}, {line}"), &buffer[..read]);
                }
                at += PIECE as u64;
            }
        }
    }

    /// Searches all files below `directory`.
    pub fn search_files(&self, place: Place, directory: &Path) {
        self.search_files_since(place, directory, i64::MIN);
    }

    /// Searches the files below `directory`, on its file system, that were changed since this time, in seconds.
    pub fn search_files_since(&self, place: Place, directory: &Path, since: i64) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let device = fs::metadata(directory).map(|data| data.dev()).unwrap_or_default();
        for entry in entries.flatten() {
            let (path, Ok(data)) = (entry.path(), entry.metadata()) else { continue };
            let kind = data.file_type();
            if data.dev() != device {
                continue;
            }
            if kind.is_dir() {
                self.search_files_since(place, &path, since);
                continue;
            }
            if data.ctime() < since {
                continue;
            }
            self.check(place, "a name", path.as_os_str().as_encoded_bytes());
            if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap_or_default();
                self.check(place, "a link", target.as_os_str().as_encoded_bytes());
            } else if kind.is_file() {
                self.search_file(place, &path);
            }
        }
    }

    pub fn search_file(&self, place: Place, path: &Path) {
        let Ok(mut file) = File::open(path) else { return };
        let mut bytes = Vec::new();
        if file.read_to_end(&mut bytes).is_ok() {
            self.check(place, &path.display().to_string(), &bytes);
            // What is compressed, as logs, caches and tarballs are.
            let mut unpacked = Vec::new();
            if bytes.starts_with(&[0x1f, 0x8b]) {
                let _ = flate2::read::MultiGzDecoder::new(&*bytes).read_to_end(&mut unpacked);
                self.check(place, &format!("{}, unpacked", path.display()), &unpacked);
            }
        }
    }

    /// Searches `bytes`.
    pub fn check(&self, place: Place, what: &str, bytes: &[u8]) {
        let token = self.token.iter().filter(|(_, finder)| finder.find(bytes).is_some());
        let token: Vec<String> = token.map(|(name, _)| format!("{place:?}, {name}: {what}")).collect();
        let planted = self.planted.find(bytes).is_some();
        let mut found = self.lock();
        found.token.extend(token);
        if planted {
            found.planted.insert(place);
        }
        *found.searched.entry(place).or_default() += bytes.len() as u64;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token was found nowhere, and the planted value in each of `places`, in at least this many stops.
    #[track_caller]
    pub fn assert(&self, places: &[Place], stops: usize) {
        let found = self.lock();
        let searched = &found.searched;
        assert!(found.token.is_empty(), "the token was found:\n{:#?}", found.token);
        for place in places {
            assert!(
                found.planted.contains(place),
                "the search of {place:?} finds nothing: {searched:?} bytes"
            );
        }
        assert!(found.stops >= stops, "only {} stops", found.stops);
        assert!(found.processes >= 2, "only {} processes were found", found.processes);
    }

    /// Where the token was found.
    pub fn findings(&self) -> BTreeSet<String> {
        self.lock().token.clone()
    }
}

/// Stops all processes that `list` finds, also those that these start meanwhile.
fn stop(list: impl Fn() -> BTreeSet<i32>) -> BTreeSet<i32> {
    let deadline = Instant::now() + LIMIT;
    let mut stopped = BTreeSet::new();
    loop {
        let new: Vec<i32> = list().difference(&stopped).copied().collect();
        if new.is_empty() {
            return stopped;
        }
        for pid in &new {
            let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::STOP);
        }
        while !new.iter().all(|pid| is_stopped(*pid)) {
            assert!(Instant::now() < deadline, "processes do not stop");
            thread::sleep(Duration::from_millis(1));
        }
        stopped.extend(new);
    }
}

fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may contain spaces and parentheses.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_none_or(|state| "TtZX".contains(state))
    })
}

/// `root` and all its descendants.
pub fn descendants(root: i32) -> BTreeSet<i32> {
    let mut parents: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in processes() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parents.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let (mut all, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        if all.insert(pid) {
            next.extend(parents.get(&pid).into_iter().flatten());
        }
    }
    all
}

/// All processes of the machine.
pub fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The processes of a step in a container: those whose arguments contain `marker` and that have another root directory
/// than this one, and all that share a process namespace of their own with one of them, or descend from one.
pub fn of_step(marker: &str) -> BTreeSet<i32> {
    let link = |pid: i32, name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let own = fs::read_link("/proc/self/ns/pid").ok();
    let marked: Vec<i32> = processes()
        .into_iter()
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            Finder::new(marker).find(&arguments).is_some() && has_own_root(*pid)
        })
        .collect();
    let namespaces: BTreeSet<PathBuf> =
        marked.iter().filter_map(|pid| link(*pid, "ns/pid")).filter(|ns| Some(ns) != own.as_ref()).collect();
    let mut all: BTreeSet<i32> = marked.iter().flat_map(|pid| descendants(*pid)).collect();
    if !namespaces.is_empty() {
        all.extend(
            processes()
                .into_iter()
                .filter(|pid| link(*pid, "ns/pid").is_some_and(|ns| namespaces.contains(&ns))),
        );
    }
    all
}

/// Whether the root directory of a process is not that of this one.
fn has_own_root(pid: i32) -> bool {
    let identity = |path: &str| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let its = identity(&format!("/proc/{pid}/root/"));
    its.is_some() && its != identity("/")
}

/// The directories with what a process sees and the image did not have: the upper directory of its root's overlay, and file
/// systems in memory. Where the root is no overlay, it is the whole root.
pub fn written_by(pid: i32) -> Vec<(Place, PathBuf)> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mut written = Vec::new();
    for line in mounts.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let point = mount.split(' ').nth(4).unwrap_or_default();
        let mut kind = kind.split(' ');
        match kind.next() {
            Some("overlay") if point == "/" => {
                let options = kind.next_back().unwrap_or_default();
                if let Some(upper) = options.split(',').find_map(|option| option.strip_prefix("upperdir=")) {
                    written.push((Place::Files, PathBuf::from(upper)));
                }
            }
            Some("tmpfs") => {
                written.push((Place::SharedMemory, root.join(point.trim_start_matches('/'))));
            }
            _ => {}
        }
    }
    if written.iter().all(|(place, _)| *place != Place::Files) {
        written.push((Place::Files, root.join(".")));
    }
    written
}

/// Parts of `value` in usual encodings, each with its name. They are from the middle, so that a copy whose ends were cut or
/// overwritten is found too.
fn encodings(value: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = &value.as_bytes()[4..value.len() - 4];
    let text = str::from_utf8(bytes).unwrap();
    let mut encodings = vec![("raw".to_owned(), text.to_owned())];
    for offset in 0..3 {
        // The first and last characters also encode bits of the bytes before and after, which are not known.
        let shifted = [vec![0; offset].as_slice(), bytes].concat();
        let constant = |encoded: String| {
            let end = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
            encoded[[0, 2, 3][offset]..end].to_owned()
        };
        encodings.push((format!("base64 at {offset}"), constant(STANDARD_NO_PAD.encode(&shifted))));
        encodings.push((format!("base64url at {offset}"), constant(URL_SAFE_NO_PAD.encode(&shifted))));
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    encodings.push(("HEX".to_owned(), hex.to_uppercase()));
    encodings.push(("hex".to_owned(), hex));
    let percent = |byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    encodings.push(("URL-encoded".to_owned(), bytes.iter().map(percent).collect()));
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut encodings: Vec<(String, Vec<u8>)> =
        encodings.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    encodings.push(("UTF-16".to_owned(), wide));
    encodings
}
