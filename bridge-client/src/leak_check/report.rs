//! What the leak check found, in a form that can be shown: no values, no control characters.

use std::fmt;

use leaks::Encoding;
use proto::Key;
use thiserror::Error;
use tracing::debug;

/// Limit of leaks that are shown without `-v`. Further ones are only counted.
const MAX_SHOWN: usize = 20;

/// The part of a file that contains a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    Content,
    Name,
    /// The target of a symbolic link.
    Target,
}

/// One secret in one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Escaped, with `***` in place of secrets.
    pub path: String,
    pub key: Key,
    pub encoding: Encoding,
    /// Whether only a value inside the secret was found: a token, a password, a line of a key.
    pub part: bool,
    pub spot: Spot,
    /// How the place is packed inside the file: `gzip`, `zip entry NAME`, the outermost first. Escaped, with `***` in place
    /// of secrets.
    pub packed: Option<String>,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.part { "a part of it, " } else { "" };
        let spot = match self.spot {
            Spot::Content => "",
            Spot::Name => ", in the name",
            Spot::Target => ", in the target of the link",
        };
        write!(f, "{}: {} ({part}{}{spot}", self.path, self.key, self.encoding)?;
        match &self.packed {
            Some(packed) => write!(f, ", in {packed})"),
            None => f.write_str(")"),
        }
    }
}

/// The leaks that were found. At least one.
#[derive(Debug, Error)]
#[error("{}", listed(.leaks, .more, .covers))]
pub struct Leaked {
    /// Where the check looked.
    pub covers: String,
    /// By path.
    pub leaks: Vec<Leak>,
    /// How many more were found.
    pub more: usize,
}

impl Leaked {
    /// `None` if `leaks` is empty. `more` counts further leaks, and `covers` says where the check looked.
    pub(super) fn new(mut leaks: Vec<Leak>, more: usize, covers: String) -> Option<Self> {
        if leaks.is_empty() {
            return None;
        }
        leaks.sort_unstable();
        leaks.iter().skip(MAX_SHOWN).for_each(|leak| debug!("also found: {leak}"));
        let more = more + leaks.len().saturating_sub(MAX_SHOWN);
        leaks.truncate(MAX_SHOWN);
        Some(Self { covers, leaks, more })
    }

    pub(crate) fn hint() -> &'static str {
        "remove the files in the same step, keep the tool from writing secrets, or let it write to a cache mount or tmpfs; \
         `,leaks=off` after a key, or --leaks warn, if it may stay"
    }
}

fn listed(leaks: &[Leak], more: &usize, covers: &str) -> String {
    let mut text = "COMMAND wrote secrets to files that would stay:".to_owned();
    text.extend(leaks.iter().map(|leak| format!("\n  {leak}")));
    if *more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text.push_str(&format!("\nsearched: {covers}"));
    text
}
