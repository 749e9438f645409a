//! URLs that came in redirects and may give access by themselves, for the leak check.

use std::cell::RefCell;
use std::rc::Rc;

use proto::Secret;

/// Most URLs that are kept. Later ones are not searched for.
const MAX_URLS: usize = 256;

/// The URLs so far. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignedUrls(Rc<RefCell<Vec<Secret>>>);

impl SignedUrls {
    /// `url` is as a server wrote it, of at most [`MAX_SIGNED_URL`](proto::limits::MAX_SIGNED_URL) bytes.
    pub(crate) fn add(&self, url: Vec<u8>) {
        let mut urls = self.0.borrow_mut();
        if urls.len() < MAX_URLS && !urls.iter().any(|known| known.expose() == url) {
            urls.push(Secret::new(url));
        }
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "the leak check takes them"))]
    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<Secret> {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_kept_once_and_up_to_a_limit() {
        let urls = SignedUrls::default();
        let clone = urls.clone();
        for _ in 0..2 {
            for number in 0..2 * MAX_URLS {
                clone.add(format!("https://store.example/{number}?sig=1").into_bytes());
            }
        }
        let taken = urls.take();
        assert_eq!(taken.len(), MAX_URLS);
        assert_eq!(taken[1].expose(), b"https://store.example/1?sig=1");
        assert!(clone.take().is_empty());
    }
}
