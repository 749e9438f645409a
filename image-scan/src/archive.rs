//! The archive of an image: a stream that is read once, a file of which two threads read different blobs, or a directory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use proto::escape;

use crate::blob;
use crate::budget::Earning;
use crate::collector::{Content, Location, Scan};
use crate::compression::Compression;
use crate::error::{ScanError, truncated};
use crate::large_memory::Owner;
use crate::limits::{CHUNK, MAX_BLOB_NAME, MAX_BLOBS, WORK_PER_ENTRY};
use crate::redact::redact;
use crate::report::Outcome;
use crate::search::{Finder, Progress};
use crate::tar_entries::{self, Entry, Next, next_entry};

/// Threads that search; each may have another thread that unpacks for it.
const WORKERS: usize = 2;

/// Scans an archive in a stream, to its end.
pub fn scan_stream<F: Finder>(finder: &F, input: impl Read + Send, progress: &Progress) -> Outcome {
    let scan = Scan::new(finder, progress);
    let mut input = Earning::new(BufReader::with_capacity(CHUNK, input), &scan.budget);
    let failure = scan_archive(&scan, &mut input).err();
    Outcome::of(scan, failure)
}

/// Scans an archive in a file, or a directory in the OCI layout.
pub fn scan_path<F: Finder>(finder: &F, path: &Path, progress: &Progress) -> Outcome {
    let scan = Scan::new(finder, progress);
    let failure = scan_file_or_directory(&scan, path).err();
    Outcome::of(scan, failure)
}

fn scan_file_or_directory<F: Finder>(scan: &Scan<'_, F>, path: &Path) -> Result<(), ScanError> {
    let shown = escape(&path.to_string_lossy());
    let cannot_read = |error| ScanError::read(&*shown, error);
    let metadata = fs::metadata(path).map_err(cannot_read)?;
    if metadata.is_dir() {
        return scan_blobs(scan, &blobs_in_directory(scan, path)?);
    }
    let mut file = BufReader::with_capacity(CHUNK, File::open(path).map_err(cannot_read)?);
    // A pipe cannot be rewound; in a compressed archive the blobs have no offsets.
    if !metadata.is_file() || Compression::of(file.fill_buf().map_err(cannot_read)?).is_some() {
        return scan_archive(scan, &mut Earning::new(file, &scan.budget));
    }
    if !tar_entries::is_header(file.fill_buf().map_err(cannot_read)?) {
        return Err(ScanError::NoArchive);
    }
    let blobs = blobs_in_file(scan, path, file, metadata.len())?;
    scan_blobs(scan, &blobs)
}

fn scan_archive<F: Finder>(scan: &Scan<'_, F>, input: &mut (dyn BufRead + Send)) -> Result<(), ScanError> {
    let mut failure = None;
    let outcome = blob::with_head(input, |head, input| match Compression::of(head) {
        None => {
            failure = scan_tar(scan, head, input).err();
            Ok(())
        }
        Some(compression) => blob::unpack(scan, "", Owner::Archive, compression, input, |input| {
            blob::with_head(input, |head, input| {
                failure = scan_tar(scan, head, input).err();
                Ok(())
            })
        }),
    });
    outcome.map_err(|error| ScanError::read("the archive", error))?;
    failure.map_or(Ok(()), Err)
}

fn scan_tar<F: Finder>(
    scan: &Scan<'_, F>,
    head: &[u8],
    mut input: &mut (dyn BufRead + Send),
) -> Result<(), ScanError> {
    if !tar_entries::is_header(head) {
        return Err(ScanError::NoArchive);
    }
    let cannot_read = |error| ScanError::read("the archive", error);
    loop {
        let entry = match next_entry(input).map_err(cannot_read)? {
            Next::Entry(entry) => entry,
            Next::End(rest) => {
                let found = scan.search(&mut rest.as_slice().chain(input)).map_err(cannot_read)?;
                scan.keep("", || Location::Bytes, found);
                return Ok(());
            }
        };
        scan.budget.spend(WORK_PER_ENTRY + entry.headers.len() as u64).map_err(cannot_read)?;
        let name = record_blob(scan, &entry)?;
        let mut content = (&mut input).take(entry.size);
        let outcome = if entry.size > 0 { blob::scan(scan, &name, &mut content) } else { Ok(()) };
        if outcome.is_ok() && content.limit() > 0 {
            return Err(cannot_read(truncated()));
        }
        outcome.map_err(|error| ScanError::read(redact(scan.finder, &name), error))?;
        let padding = entry.padded() - entry.size;
        let mut padding = (&mut input).take(padding);
        let found = scan.search(&mut padding).map_err(cannot_read)?;
        if padding.limit() > 0 {
            return Err(cannot_read(truncated()));
        }
        scan.keep(&name, || Location::Bytes, found);
    }
}

/// Searches the archive's headers of a blob, and records its name.
fn record_blob<F: Finder>(scan: &Scan<'_, F>, entry: &Entry) -> Result<String, ScanError> {
    let name = blob_name(&String::from_utf8_lossy(&entry.path));
    let found = scan.search_bytes(&[&entry.path, b"\0", &entry.headers]);
    scan.keep(&name, || Location::BlobHeaders, found);
    let mut collected = scan.collected();
    collected.names += 1;
    if collected.names > MAX_BLOBS {
        return Err(ScanError::TooManyBlobs);
    }
    if name.len() > MAX_BLOB_NAME {
        return Err(ScanError::LongName);
    }
    if !entry.link.is_empty() {
        let target = String::from_utf8_lossy(&entry.link).into_owned();
        let from = if entry.is_hard_link { "" } else { &name };
        let target = link_target(from, &target);
        if target.len() > MAX_BLOB_NAME {
            return Err(ScanError::LongName);
        }
        collected.links.insert(name.clone(), target);
    } else if entry.size == 0 && !name.ends_with('/') {
        collected.keep_content(&name, Content::Empty);
    }
    Ok(name)
}

fn blob_name(path: &str) -> String {
    path.trim_start_matches("./").to_owned()
}

/// The blob to which a link at `name` points: the old layout writes `../ID/layer.tar`.
fn link_target(name: &str, target: &str) -> String {
    let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    blob_name(&parts.join("/"))
}

/// A blob in a file.
struct BlobRange {
    name: String,
    file: PathBuf,
    offset: u64,
    length: u64,
}

/// The blobs of the archive at `path`. Reads its headers only.
fn blobs_in_file<F: Finder>(
    scan: &Scan<'_, F>,
    path: &Path,
    mut file: BufReader<File>,
    length: u64,
) -> Result<Vec<BlobRange>, ScanError> {
    let cannot_read = |error| ScanError::read("the archive", error);
    let mut blobs = Vec::new();
    loop {
        let entry = match next_entry(&mut file).map_err(cannot_read)? {
            Next::Entry(entry) => entry,
            Next::End(rest) => {
                let found = scan.search(&mut rest.as_slice().chain(&mut file)).map_err(cannot_read)?;
                scan.keep("", || Location::Bytes, found);
                return Ok(blobs);
            }
        };
        let name = record_blob(scan, &entry)?;
        let offset = file.stream_position().map_err(cannot_read)?;
        if offset.saturating_add(entry.padded()) > length {
            return Err(cannot_read(truncated()));
        }
        if entry.size > 0 {
            blobs.push(BlobRange { name, file: path.to_owned(), offset, length: entry.size });
        }
        let next = i64::try_from(entry.size).map_err(|_| cannot_read(truncated()))?;
        file.seek_relative(next).map_err(cannot_read)?;
        let found = scan.search(&mut (&mut file).take(entry.padded() - entry.size)).map_err(cannot_read)?;
        scan.keep("", || Location::Bytes, found);
    }
}

/// The files below `top`. Links are not followed: they may point anywhere.
fn blobs_in_directory<F: Finder>(scan: &Scan<'_, F>, top: &Path) -> Result<Vec<BlobRange>, ScanError> {
    let mut blobs = Vec::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        let cannot_read = |error| ScanError::read(escape(&directory.to_string_lossy()), error);
        for entry in fs::read_dir(&directory).map_err(cannot_read)? {
            let entry = entry.map_err(cannot_read)?;
            let metadata = entry.metadata().map_err(cannot_read)?;
            let path = entry.path();
            if metadata.is_dir() {
                directories.push(path);
                continue;
            }
            let within = path.strip_prefix(top).unwrap_or(&path);
            let name = within.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            let mut header = Entry { path: name.into_bytes(), ..Entry::default() };
            if metadata.is_file() {
                header.size = metadata.len();
            } else if let Ok(target) = fs::read_link(&path) {
                header.link = target.to_string_lossy().into_owned().into_bytes();
                header.headers.clone_from(&header.link);
            }
            let name = record_blob(scan, &header)?;
            if header.size > 0 {
                blobs.push(BlobRange { name, file: path, offset: 0, length: header.size });
            }
        }
    }
    Ok(blobs)
}

/// Scans the blobs, several at once, the largest first so that the threads end at about the same time.
fn scan_blobs<F: Finder>(scan: &Scan<'_, F>, blobs: &[BlobRange]) -> Result<(), ScanError> {
    let mut order: Vec<&BlobRange> = blobs.iter().collect();
    order.sort_by_key(|blob| std::cmp::Reverse(blob.length));
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(order.len()) {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed)
                    && let Some(blob) = order.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(error) = blob.scan(scan) {
                        stopped.store(true, Ordering::Relaxed);
                        let mut failure = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        failure.get_or_insert(ScanError::read(redact(scan.finder, &blob.name), error));
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

impl BlobRange {
    fn scan<F: Finder>(&self, scan: &Scan<'_, F>) -> io::Result<()> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let content = BufReader::with_capacity(CHUNK, file).take(self.length);
        let mut content = Earning::new(content, &scan.budget);
        blob::scan(scan, &self.name, &mut content)?;
        if content.into_inner().limit() > 0 { Err(truncated()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_layers_are_resolved_within_the_archive() {
        assert_eq!(link_target("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(link_target("a/layer.tar", "../../../etc/passwd"), "etc/passwd");
        assert_eq!(link_target("layer.tar", "./b"), "b");
    }
}
