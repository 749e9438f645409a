//! What a scan has seen so far. All threads put into it; the report is made of it at the end, when the manifests are
//! there, wherever in the archive they stood.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{MAX_DOCUMENTS, MAX_FINDINGS, MAX_PATH, MAX_UNPACKED, MAX_WHITEOUTS};
use crate::search::{Finder, Found, Progress, Search as _};

/// One scan: who searches, and what was seen.
pub(crate) struct Scan<'s, F> {
    pub(crate) finder: &'s F,
    pub(crate) progress: &'s Progress,
    /// Bytes that compressed blobs may still unpack to.
    pub(crate) allowance: AtomicU64,
    gathered: Mutex<Gathered>,
}

/// All that is kept of an image.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) hits: Vec<Hit>,
    /// Hits that are not in the list.
    pub(crate) more: u64,
    /// Names of all blobs.
    pub(crate) blobs: BTreeSet<String>,
    /// JSON, by the blob's name.
    pub(crate) documents: BTreeMap<String, Vec<u8>>,
    /// Links between blobs: the old layout has them for layers that are there twice.
    pub(crate) links: BTreeMap<String, String>,
    /// What each layer deletes, by the blob's name.
    pub(crate) whiteouts: BTreeMap<String, Vec<String>>,
    documents_size: usize,
    whiteouts_size: usize,
}

/// A secret that was found in a blob.
pub(crate) struct Hit {
    pub(crate) blob: String,
    pub(crate) spot: Spot,
    pub(crate) found: Found,
}

/// Where in a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// In a file's content. The path may itself hold a secret: it is not fit to be shown.
    File(String),
    /// In a file's name, link target, owner or attributes.
    Headers(String),
    /// In a value, or a name, of a JSON document.
    Value(String),
    /// In the blob as such, or between its files.
    Bytes,
    /// In what the archive says about the blob.
    BlobHeaders,
}

impl<'s, F: Finder> Scan<'s, F> {
    pub(crate) fn new(finder: &'s F, progress: &'s Progress) -> Self {
        Self { finder, progress, allowance: AtomicU64::new(MAX_UNPACKED), gathered: Mutex::default() }
    }

    pub(crate) fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // What a thread that panicked had put in is whole: nothing here is done by halves.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_gathered(self) -> Gathered {
        self.gathered.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Searches `input` to its end.
    pub(crate) fn search(&self, input: &mut (impl BufRead + ?Sized)) -> io::Result<Vec<Found>> {
        let mut search = self.finder.search();
        loop {
            let chunk = input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(search.found());
            }
            let length = chunk.len();
            search.feed(chunk);
            input.consume(length);
            self.progress.add(length);
        }
    }

    /// Searches bytes that are there already.
    pub(crate) fn search_bytes(&self, parts: &[&[u8]]) -> Vec<Found> {
        let mut search = self.finder.search();
        for part in parts {
            search.feed(part);
        }
        search.found()
    }

    /// Keeps what was found at `spot` in `blob`.
    pub(crate) fn keep(&self, blob: &str, spot: impl Fn() -> Spot, found: Vec<Found>) {
        if found.is_empty() {
            return;
        }
        let mut gathered = self.gathered();
        for found in found {
            if gathered.hits.len() < MAX_FINDINGS {
                gathered.hits.push(Hit { blob: blob.to_owned(), spot: spot(), found });
            } else {
                gathered.more += 1;
            }
        }
    }
}

impl Gathered {
    /// Keeps a document, as long as there is room. Without it a layer may lack its number, no more.
    pub(crate) fn keep_document(&mut self, blob: &str, document: Vec<u8>) {
        self.documents_size = self.documents_size.saturating_add(document.len());
        if self.documents_size <= MAX_DOCUMENTS {
            self.documents.insert(blob.to_owned(), document);
        }
    }

    /// Keeps what `blob` deletes, as long as there is room. Without it a file lacks a remark, no more.
    pub(crate) fn keep_whiteout(&mut self, blob: &str, path: String) {
        self.whiteouts_size = self.whiteouts_size.saturating_add(path.len() + size_of::<String>());
        if self.whiteouts_size <= MAX_WHITEOUTS && path.len() <= MAX_PATH {
            self.whiteouts.entry(blob.to_owned()).or_default().push(path);
        }
    }
}
