//! The search for secrets in streams of bytes, which the caller provides.

use std::sync::atomic::{AtomicU64, Ordering};

/// Starts searches. Several run at once, in different threads.
pub trait Finder: Sync {
    type Search<'f>: Search
    where
        Self: 'f;

    fn search(&self) -> Self::Search<'_>;

    /// Whether `text` holds a secret, in any encoding.
    fn holds(&self, text: &[u8]) -> bool {
        let mut search = self.search();
        search.feed(text);
        !search.matches().is_empty()
    }
}

/// A search through one stream of bytes.
pub trait Search {
    /// Searches the next bytes.
    fn feed(&mut self, chunk: &[u8]);

    /// The matches in all bytes that were fed.
    fn matches(self) -> Vec<Match>;
}

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The name of the secret.
    pub key: String,
    /// `raw`, `base64`, …
    pub encoding: &'static str,
    /// Whether it is only a part of the secret.
    pub part: bool,
    /// Offset in the stream.
    pub offset: u64,
}

/// Progress of a scan, to be read from another thread.
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
