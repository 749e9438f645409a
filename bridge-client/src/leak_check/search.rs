//! The search of one file for secrets.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use leaks::{Finder, Hit, Mask, Search};

use super::report::{Leak, Leaked, Spot};

/// Limit of leaks that are kept. Further ones are only counted: there may be as many as there are files.
const MAX_LEAKS: usize = 1000;

/// Searches for secrets, and collects the leaks.
pub(super) struct Searcher {
    finder: Finder,
    mask: Option<Arc<Mask>>,
    found: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    leaks: Vec<Leak>,
    more: usize,
}

impl Searcher {
    pub(super) fn new(finder: Finder, mask: Option<Arc<Mask>>) -> Self {
        Self { finder, mask, found: Mutex::default() }
    }

    /// Searches a name, or the target of a link.
    pub(super) fn text(&self, text: &[u8], spot: Spot, path: &dyn Fn() -> PathBuf) {
        let mut search = self.finder.search();
        search.feed(text);
        self.keep(&search, spot, path);
    }

    /// Searches the bytes of `reader` until `is_stopped`, and returns how many were read.
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
        let mut search = self.finder.search();
        let mut bytes = 0;
        let ended = loop {
            if is_stopped() {
                break Ok(bytes);
            }
            match reader.read(buffer) {
                Ok(0) => break Ok(bytes),
                Ok(length) => {
                    search.feed(buffer.get(..length).unwrap_or_default());
                    bytes += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.keep(&search, Spot::Content, path);
        ended
    }

    fn keep(&self, search: &Search<'_>, spot: Spot, path: &dyn Fn() -> PathBuf) {
        if search.hits().is_empty() {
            return;
        }
        let path = self.shown(&path());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for Hit { key, encoding, part, .. } in search.hits() {
            if found.leaks.len() < MAX_LEAKS {
                let (path, key) = (path.clone(), key.clone());
                found.leaks.push(Leak { path, key, encoding: *encoding, part: *part, spot });
            } else {
                found.more += 1;
            }
        }
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

    /// Takes what was found.
    pub(super) fn leaked(&self) -> Option<Leaked> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = std::mem::take(&mut *found);
        Leaked::new(found.leaks, found.more)
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
            searcher.leaked().unwrap().to_string(),
            "COMMAND wrote secrets to files that would stay:\n  /a/***\\u{a}: K (raw, in the name)"
        );
        assert!(searcher.leaked().is_none());
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
        assert_eq!(searcher.leaked().unwrap().leaks.len(), 1);
    }
}
