//! Collects what a scan finds, from all its threads. The report is made at the end, when all manifests were read, wherever
//! in the archive they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use unpack::{Budget, Skipped};

use crate::limits::{MAX_DOCUMENTS, MAX_FINDINGS, MAX_PATH, MAX_UNPACKED, MAX_WHITEOUTS};
use crate::packed::{self, Found, PackedMatch};
use crate::search::{Finder, Match, Progress, Search as _};

/// A scan: its finder, and what it has collected so far.
pub(crate) struct Scan<'s, F> {
    pub(crate) finder: &'s F,
    pub(crate) progress: &'s Progress,
    /// Bytes to which the remaining compressed blobs may unpack.
    pub(crate) allowance: AtomicU64,
    /// For what is compressed in files.
    unpacking: Budget,
    collected: Mutex<Collected>,
}

/// What is kept of an image.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) hits: Vec<Hit>,
    /// Number of hits beyond [`MAX_FINDINGS`], which are not kept.
    pub(crate) more: u64,
    /// What was compressed in files and not searched.
    pub(crate) skipped: Skipped,
    /// Blob and location of the first file that unpacks to too much.
    pub(crate) limited: Option<(String, Location)>,
    pub(crate) blobs: BTreeSet<String>,
    /// Manifests, indexes and configs, by the blob's name.
    pub(crate) documents: BTreeMap<String, Vec<u8>>,
    /// Links between blobs, which the old layout has for a layer that occurs twice.
    pub(crate) links: BTreeMap<String, String>,
    /// What each layer deletes, by the blob's name.
    pub(crate) whiteouts: BTreeMap<String, Vec<String>>,
    documents_size: usize,
    whiteouts_size: usize,
}

/// A match in a blob.
pub(crate) struct Hit {
    pub(crate) blob: String,
    pub(crate) location: Location,
    pub(crate) matched: Match,
    /// How the location is packed inside the file. It may hold a secret: redact it before it is shown.
    pub(crate) packed: Option<String>,
}

/// Where in a blob a match is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// In a file's content. The path may itself hold a secret: redact it before it is shown.
    File(String),
    /// In a file's name, link target, owner or attributes.
    Headers(String),
    /// In a value, or a name, of a JSON document.
    Value(String),
    /// In the bytes of the blob, or between its files.
    Bytes,
    /// In the archive's headers of the blob.
    BlobHeaders,
}

impl<'s, F: Finder> Scan<'s, F> {
    pub(crate) fn new(finder: &'s F, progress: &'s Progress) -> Self {
        let (allowance, unpacking) = (AtomicU64::new(MAX_UNPACKED), Budget::default());
        Self { finder, progress, allowance, unpacking, collected: Mutex::default() }
    }

    pub(crate) fn collected(&self) -> MutexGuard<'_, Collected> {
        // A thread that panicked left it consistent: each change is one insertion.
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_collected(self) -> Collected {
        self.collected.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Searches `input` to its end, and what is compressed in it.
    pub(crate) fn search(&self, mut input: &mut (impl BufRead + ?Sized)) -> io::Result<Found> {
        packed::search(self.finder, &mut input, &self.unpacking, self.progress)
    }

    /// Searches bytes in memory, as they are.
    pub(crate) fn search_bytes(&self, parts: &[&[u8]]) -> Found {
        let mut search = self.finder.search();
        for part in parts {
            search.feed(part);
        }
        Found::plain(search.matches())
    }

    /// Keeps the matches in `blob` at `location`.
    pub(crate) fn keep(&self, blob: &str, location: impl Fn() -> Location, found: Found) {
        if found.matches.is_empty() && found.skipped.is_empty() {
            return;
        }
        let mut collected = self.collected();
        collected.skipped.add(found.skipped);
        if found.skipped.limited && collected.limited.is_none() {
            collected.limited = Some((blob.to_owned(), location()));
        }
        for PackedMatch { matched, packed } in found.matches {
            if collected.hits.len() < MAX_FINDINGS {
                collected.hits.push(Hit { blob: blob.to_owned(), location: location(), matched, packed });
            } else {
                collected.more += 1;
            }
        }
    }
}

impl Collected {
    /// Keeps a document, up to [`MAX_DOCUMENTS`] bytes in all. Without it only the place of a layer may be unknown.
    pub(crate) fn keep_document(&mut self, blob: &str, document: Vec<u8>) {
        self.documents_size = self.documents_size.saturating_add(document.len());
        if self.documents_size <= MAX_DOCUMENTS {
            self.documents.insert(blob.to_owned(), document);
        }
    }

    /// Keeps what `blob` deletes, up to [`MAX_WHITEOUTS`] bytes in all. Without it only `deleted_in` may be missing.
    pub(crate) fn keep_whiteout(&mut self, blob: &str, path: String) {
        self.whiteouts_size = self.whiteouts_size.saturating_add(path.len() + size_of::<String>());
        if self.whiteouts_size <= MAX_WHITEOUTS && path.len() <= MAX_PATH {
            self.whiteouts.entry(blob.to_owned()).or_default().push(path);
        }
    }
}
