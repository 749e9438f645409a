//! The search of one file for secrets, and of what is compressed in it.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leaks::{Finder, Hit, Mask, Search};
use unpack::{Budget, Sink, Skipped};

use super::report::{Leak, Leaked, Spot};

/// Limit of leaks that are kept. Further ones are only counted: there may be as many as there are files.
const MAX_LEAKS: usize = 1000;

/// Searches for secrets, and collects the leaks.
pub(super) struct Searcher {
    finder: Finder,
    mask: Option<Arc<Mask>>,
    found: Mutex<Findings>,
    budget: Budget,
}

#[derive(Default)]
struct Findings {
    leaks: Vec<Leak>,
    more: usize,
    unpacking: Unpacking,
}

/// What was compressed in files and could not be searched.
#[derive(Debug, Clone, Default)]
pub(super) struct Unpacking {
    pub(super) skipped: Skipped,
    /// The first file in which a limit was reached, as [`Searcher::shown`] shows it.
    pub(super) limited: Option<String>,
}

impl Searcher {
    pub(super) fn new(finder: Finder, mask: Option<Arc<Mask>>) -> Self {
        Self { finder, mask, found: Mutex::default(), budget: Budget::default() }
    }

    /// Searches a name, or the target of a link.
    pub(super) fn text(&self, text: &[u8], spot: Spot, path: &dyn Fn() -> PathBuf) {
        let mut search = self.finder.search();
        search.feed(text);
        self.keep(&search, spot, None, path);
    }

    /// Searches the bytes of `reader`, and what is compressed in them, until `is_stopped`. Returns how many were read.
    ///
    /// # Errors
    /// The reader's. What was found until then is kept.
    pub(super) fn content(
        &self,
        reader: &mut dyn Read,
        buffer: &mut [u8],
        is_stopped: &dyn Fn() -> bool,
        path: &dyn Fn() -> PathBuf,
    ) -> io::Result<u64> {
        let mut input = Buffered { reader, buffer, at: 0, length: 0, bytes: 0 };
        let mut streams =
            Streams { open: vec![(String::new(), self.finder.search())], searcher: self, path, is_stopped };
        let outcome = unpack::search(&mut input, &mut streams, &self.budget);
        while !streams.open.is_empty() {
            streams.leave();
        }
        let skipped = outcome?;
        if !skipped.is_empty() {
            self.found().unpacking.add(skipped, || self.shown(&path()));
        }
        Ok(input.bytes)
    }

    /// Keeps what `search` found in the file at `path`, or `packed` in it.
    fn keep(&self, search: &Search<'_>, spot: Spot, packed: Option<&str>, path: &dyn Fn() -> PathBuf) {
        if search.hits().is_empty() {
            return;
        }
        let path = self.shown(&path());
        let packed = packed.map(|packed| self.shown(Path::new(packed)));
        let mut found = self.found();
        for Hit { key, encoding, part, .. } in search.hits() {
            if found.leaks.len() < MAX_LEAKS {
                let (path, key, packed) = (path.clone(), key.clone(), packed.clone());
                found.leaks.push(Leak { path, key, encoding: *encoding, part: *part, spot, packed });
            } else {
                found.more += 1;
            }
        }
    }

    fn found(&self) -> MutexGuard<'_, Findings> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Masks secrets in a path, and escapes it.
    pub(super) fn shown(&self, path: &Path) -> String {
        let mut shown = Vec::new();
        match &self.mask {
            None => shown.extend_from_slice(path.as_os_str().as_encoded_bytes()),
            Some(mask) => {
                let mut stream = mask.stream();
                stream.push(path.as_os_str().as_encoded_bytes(), &mut shown);
                stream.finish(&mut shown);
            }
        }
        proto::escape(&String::from_utf8_lossy(&shown))
    }

    /// Takes what was found. `covers` says where the check looked.
    pub(super) fn leaked(&self, covers: String) -> Option<Leaked> {
        let mut found = self.found();
        Leaked::new(std::mem::take(&mut found.leaks), std::mem::take(&mut found.more), covers)
    }

    /// What was compressed and could not be searched so far.
    pub(super) fn unpacking(&self) -> Unpacking {
        self.found().unpacking.clone()
    }
}

impl Unpacking {
    fn add(&mut self, skipped: Skipped, path: impl FnOnce() -> String) {
        self.skipped.add(skipped);
        if skipped.limited && self.limited.is_none() {
            self.limited = Some(path());
        }
    }
}

/// The searches through a file and the streams in it that are open.
struct Streams<'a> {
    /// The file itself, then the streams with how they are packed, each inside the one before.
    open: Vec<(String, Search<'a>)>,
    searcher: &'a Searcher,
    path: &'a dyn Fn() -> PathBuf,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Sink for Streams<'_> {
    fn feed(&mut self, depth: usize, chunk: &[u8]) {
        if let Some((_, search)) = self.open.get_mut(depth) {
            search.feed(chunk);
        }
    }

    fn enter(&mut self, what: &str) {
        self.open.push((what.to_owned(), self.searcher.finder.search()));
    }

    fn leave(&mut self) {
        let Some((packed, search)) = self.open.pop() else { return };
        if search.hits().is_empty() {
            return;
        }
        let around = self.open.iter().skip(1).map(|(packed, _)| packed.as_str());
        let packed: Vec<&str> = around.chain([packed.as_str()]).collect();
        let packed = (!self.open.is_empty()).then(|| packed.join(", "));
        self.searcher.keep(&search, Spot::Content, packed.as_deref(), self.path);
    }

    fn is_stopped(&self) -> bool {
        (self.is_stopped)()
    }
}

/// Reads with a buffer that other files use too.
struct Buffered<'a> {
    reader: &'a mut dyn Read,
    buffer: &'a mut [u8],
    at: usize,
    length: usize,
    /// Bytes read so far.
    bytes: u64,
}

impl BufRead for Buffered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.length {
            self.length = self.reader.read(self.buffer)?;
            self.at = 0;
            self.bytes += self.length as u64;
        }
        Ok(self.buffer.get(self.at..self.length).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Buffered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proto::Secret;

    use super::*;

    fn searcher() -> Searcher {
        let secret = Secret::new(b"xK9-hunter2-Qw7".to_vec());
        let secrets = [("K".parse().unwrap(), &secret)];
        Searcher::new(Finder::new(&secrets).unwrap(), Mask::new(&secrets).map(Arc::new))
    }

    #[test]
    fn a_path_that_contains_the_secret_is_masked() {
        let searcher = searcher();
        searcher.text(b"xK9-hunter2-Qw7\n", Spot::Name, &|| "/a/xK9-hunter2-Qw7\n".into());
        assert_eq!(
            searcher.leaked("/".to_owned()).unwrap().to_string(),
            "COMMAND wrote secrets to files that would stay:\n  /a/***\\u{a}: K (raw, in the name)\nsearched: /"
        );
        assert!(searcher.leaked("/".to_owned()).is_none());
    }

    #[test]
    fn a_file_that_breaks_off_is_still_reported() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let searcher = searcher();
        let mut reader = b"... xK9-hunter2-Qw7".chain(Broken);
        assert!(searcher.content(&mut reader, &mut [0; 7], &|| false, &|| "f".into()).is_err());
        assert_eq!(searcher.leaked("/".to_owned()).unwrap().leaks.len(), 1);
    }
}
