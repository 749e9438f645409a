//! The search through a file and through what is compressed in it.

use std::io::{self, BufRead};

use unpack::{Budget, Sink, Skipped};

use crate::search::{Finder, Match, Progress, Search as _};

/// What a search found in one place.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) matches: Vec<PackedMatch>,
    /// What was compressed and not searched.
    pub(crate) skipped: Skipped,
}

/// A match, and how the place is packed inside the file: `gzip`, `zip entry NAME`, the outermost first. It may hold a
/// secret: redact it before it is shown.
#[derive(Debug)]
pub(crate) struct PackedMatch {
    pub(crate) matched: Match,
    pub(crate) packed: Option<String>,
}

impl Found {
    /// Matches in bytes that are not packed.
    pub(crate) fn plain(matches: Vec<Match>) -> Self {
        let matches = matches.into_iter().map(|matched| PackedMatch { matched, packed: None }).collect();
        Self { matches, skipped: Skipped::default() }
    }
}

/// Searches `input` to its end, and what is compressed in it.
pub(crate) fn search<F: Finder>(
    finder: &F,
    input: &mut dyn BufRead,
    budget: &Budget,
    progress: &Progress,
) -> io::Result<Found> {
    let mut streams = Streams { finder, progress, open: Vec::new(), matches: Vec::new() };
    streams.open.push((String::new(), finder.search()));
    let skipped = unpack::search(input, &mut streams, budget)?;
    streams.leave();
    Ok(Found { matches: streams.matches, skipped })
}

/// The searches through the streams that are open, each inside the one before.
struct Streams<'f, F: Finder> {
    finder: &'f F,
    progress: &'f Progress,
    open: Vec<(String, F::Search<'f>)>,
    matches: Vec<PackedMatch>,
}

impl<F: Finder> Sink for Streams<'_, F> {
    fn feed(&mut self, depth: usize, chunk: &[u8]) {
        if let Some((_, search)) = self.open.get_mut(depth) {
            search.feed(chunk);
            self.progress.add(chunk.len());
        }
    }

    fn enter(&mut self, what: &str) {
        self.open.push((what.to_owned(), self.finder.search()));
    }

    fn leave(&mut self) {
        let Some((innermost, search)) = self.open.pop() else { return };
        let matches = search.matches();
        if matches.is_empty() {
            return;
        }
        let around = self.open.iter().skip(1).map(|(packed, _)| packed.as_str());
        let packed: Vec<&str> = around.chain([innermost.as_str()]).collect();
        let packed = (!self.open.is_empty()).then(|| packed.join(", "));
        let matches = matches.into_iter().map(|matched| PackedMatch { matched, packed: packed.clone() });
        self.matches.extend(matches);
    }
}
