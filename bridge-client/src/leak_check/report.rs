//! What the leak check found, fit to be shown: no value, and nothing that changes how text reads.

use std::fmt;

use leaks::Encoding;
use proto::Key;
use thiserror::Error;

/// So many are shown; the rest is counted.
const MAX_SHOWN: usize = 20;

/// What in a file holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// What it contains.
    Content,
    /// What it is called.
    Name,
    /// Where a symbolic link leads.
    Target,
}

/// One secret in one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Its path; escaped, and `***` where it holds a secret.
    pub path: String,
    /// Which secret.
    pub key: Key,
    /// As what it was found.
    pub encoding: Encoding,
    /// Whether it is a value inside of the secret (a token, a password, a line of a key).
    pub part: bool,
    /// In what of the file.
    pub spot: Spot,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.part { "a part of it, " } else { "" };
        let spot = match self.spot {
            Spot::Content => "",
            Spot::Name => ", in the name",
            Spot::Target => ", in where the link leads",
        };
        write!(f, "{}: {} ({part}{}{spot})", self.path, self.key, self.encoding)
    }
}

/// All that was found; at least one.
#[derive(Debug, Error)]
#[error("{}", listed(.leaks, .more))]
pub struct Leaked {
    /// By path.
    pub leaks: Vec<Leak>,
    /// How many more there are.
    pub more: usize,
}

impl Leaked {
    /// `None` if there is nothing to tell. `more` were found beyond `leaks`.
    pub(super) fn new(mut leaks: Vec<Leak>, more: usize) -> Option<Self> {
        if leaks.is_empty() {
            return None;
        }
        leaks.sort_unstable();
        let more = more + leaks.len().saturating_sub(MAX_SHOWN);
        leaks.truncate(MAX_SHOWN);
        Some(Self { leaks, more })
    }

    /// What to do about it.
    pub(crate) fn hint() -> &'static str {
        "remove it in the same step, keep the tool from writing it, or let it write to a cache mount or tmpfs; \
         `,leaks=off` after a key, or --leaks warn, if it may stay"
    }
}

fn listed(leaks: &[Leak], more: &usize) -> String {
    let mut text = "COMMAND wrote secrets down, and they would stay:".to_owned();
    text.extend(leaks.iter().map(|leak| format!("\n  {leak}")));
    if *more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}
