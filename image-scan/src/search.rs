//! What the caller brings: a search for secrets in streams of bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::Key;

/// Starts searches. Several run at once, in threads.
pub trait Finder: Sync {
    /// A search through one stream.
    type Search<'f>: Search
    where
        Self: 'f;

    /// Begins a search.
    fn search(&self) -> Self::Search<'_>;

    /// Whether `text` holds a secret, in any form.
    fn holds(&self, text: &[u8]) -> bool {
        let mut search = self.search();
        search.feed(text);
        !search.found().is_empty()
    }
}

/// A search through one stream of bytes.
pub trait Search {
    /// Searches the next bytes.
    fn feed(&mut self, chunk: &[u8]);

    /// What was found in all of them.
    fn found(self) -> Vec<Found>;
}

/// A secret that was found. Never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: Key,
    /// The form in which it was there: raw, base64, …
    pub form: &'static str,
    /// Whether it was a part of the secret only.
    pub part: bool,
    /// Where in the stream.
    pub offset: u64,
}

/// How far a scan is, for whoever watches it from another thread.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// Bytes searched so far, unpacked.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
