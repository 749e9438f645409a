//! Collects what a scan finds, from all its threads. The report is made at the end, when all manifests were read, wherever
//! in the archive they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::sync::{Mutex, MutexGuard, PoisonError};

use unpack::Skipped;

use crate::budget::Budget;
use crate::large_memory::LargeMemory;
use crate::limits::{MAX_DOCUMENTS, MAX_FINDINGS, MAX_PATH, MAX_WHITEOUTS};
use crate::packed::{self, Found, PackedMatch};
use crate::search::{Finder, Match, Progress, Search as _};
use crate::unread::Unread;

/// A scan: its finder, and what it has collected so far.
pub(crate) struct Scan<'s, F> {
    pub(crate) finder: &'s F,
    pub(crate) progress: &'s Progress,
    pub(crate) budget: Budget,
    pub(crate) memory: LargeMemory,
    /// For what is compressed in files.
    unpacking: unpack::Budget,
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
    /// Number of names in the archive.
    pub(crate) names: usize,
    /// What each blob is, by its name.
    pub(crate) contents: BTreeMap<String, Content>,
    /// Manifests, indexes and configs, with the blob's name, which may occur twice.
    pub(crate) documents: Vec<(String, Vec<u8>)>,
    /// Links between blobs, which the old layout has for a layer that occurs twice.
    pub(crate) links: BTreeMap<String, String>,
    /// What each layer deletes, by the blob's name.
    pub(crate) whiteouts: BTreeMap<String, Vec<String>>,
    documents_size: usize,
    whiteouts_size: usize,
}

/// What a blob is. In an archive that has two by one name, the later in this order counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    /// A tar archive, which was read to its end.
    Layer,
    /// JSON, of which all values were searched.
    Document,
    /// Searched as bytes.
    Bytes {
        /// It begins as JSON does.
        is_json: bool,
        /// What it looks like.
        format: Option<&'static str>,
    },
    Unread(Unread),
}

impl Content {
    fn order(&self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Layer => 1,
            Self::Document => 2,
            Self::Bytes { .. } => 3,
            Self::Unread(_) => 4,
        }
    }
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
        Self {
            finder,
            progress,
            budget: Budget::default(),
            unpacking: unpack::Budget::default(),
            memory: LargeMemory::default(),
            collected: Mutex::default(),
        }
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
        packed::search(self.finder, &mut input, (&self.budget, &self.unpacking), self.progress)
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
    /// Keeps what `blob` is.
    pub(crate) fn keep_content(&mut self, blob: &str, content: Content) {
        match self.contents.get_mut(blob) {
            Some(kept) if kept.order() >= content.order() => {}
            Some(kept) => *kept = content,
            None => _ = self.contents.insert(blob.to_owned(), content),
        }
    }

    /// Keeps a document. Whether it is within [`MAX_DOCUMENTS`] bytes in all.
    #[must_use]
    pub(crate) fn keep_document(&mut self, blob: &str, document: Vec<u8>) -> bool {
        self.documents_size = self.documents_size.saturating_add(document.len());
        let fits = self.documents_size <= MAX_DOCUMENTS;
        if fits {
            self.documents.push((blob.to_owned(), document));
        }
        fits
    }

    /// The names of the documents that are kept.
    pub(crate) fn document_names(&self) -> BTreeSet<&str> {
        self.documents.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Keeps what `blob` deletes, up to [`MAX_WHITEOUTS`] bytes in all. Without it only `deleted_in` may be missing.
    pub(crate) fn keep_whiteout(&mut self, blob: &str, path: String) {
        self.whiteouts_size = self.whiteouts_size.saturating_add(path.len() + size_of::<String>());
        if self.whiteouts_size <= MAX_WHITEOUTS && path.len() <= MAX_PATH {
            self.whiteouts.entry(blob.to_owned()).or_default().push(path);
        }
    }
}
