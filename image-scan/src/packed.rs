//! The search through a file and through what is compressed in it.

use std::io::{self, BufRead, Read};

use unpack::{Budget, Sink, Skipped};

use crate::budget::Budget as Work;
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
    (work, budget): (&Work, &Budget),
    progress: &Progress,
) -> io::Result<Found> {
    let mut input = Guarded { input, work };
    let mut streams = Streams { finder, progress, work, open: Vec::new(), matches: Vec::new() };
    streams.open.push((String::new(), finder.search()));
    let skipped = unpack::search(&mut input, &mut streams, budget)?;
    streams.leave();
    Ok(Found { matches: streams.matches, skipped })
}

/// An input that fails once the work is used up, to which what is compressed in it adds.
struct Guarded<'i> {
    input: &'i mut dyn BufRead,
    work: &'i Work,
}

impl BufRead for Guarded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.work.spend(0)?;
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.work.spend(0)?;
        self.input.read(buffer)
    }
}

/// The searches through the streams that are open, each inside the one before.
struct Streams<'f, F: Finder> {
    finder: &'f F,
    progress: &'f Progress,
    work: &'f Work,
    open: Vec<(String, F::Search<'f>)>,
    matches: Vec<PackedMatch>,
}

impl<F: Finder> Sink for Streams<'_, F> {
    fn feed(&mut self, depth: usize, chunk: &[u8]) {
        if let Some((_, search)) = self.open.get_mut(depth) {
            search.feed(chunk);
            self.progress.add(chunk.len());
            if depth > 0 {
                // An error ends the search at the next read of the input.
                let _ = self.work.spend(chunk.len() as u64);
            }
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
