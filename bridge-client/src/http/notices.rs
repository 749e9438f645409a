//! What the person who reads the build's log should know about COMMAND's requests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Display;

use tracing::{debug, warn};

/// Most messages of each kind. A COMMAND may make thousands of requests, and a bridge may send any text.
const MAX_SHOWN: usize = 8;

/// The messages so far.
#[derive(Default)]
pub(crate) struct Notices {
    refusals: RefCell<BTreeSet<String>>,
    failures: RefCell<BTreeSet<String>>,
    more: Cell<bool>,
}

impl Notices {
    /// The bridge refused a request, and says why.
    pub(crate) fn refused(&self, text: impl Display) {
        self.show(&self.refusals, format!("refused: {text}"));
    }

    /// A request failed in a way that its tool may not show.
    pub(crate) fn failed(&self, text: impl Display) {
        self.show(&self.failures, text.to_string());
    }

    fn show(&self, shown: &RefCell<BTreeSet<String>>, text: String) {
        let mut shown = shown.borrow_mut();
        if shown.contains(&text) {
            debug!("{text}");
        } else if shown.len() < MAX_SHOWN {
            warn!("{text}");
            shown.insert(text);
        } else {
            debug!("{text}");
            if !self.more.replace(true) {
                warn!("further HTTP requests failed; `-v` shows all of them");
            }
        }
    }
}
