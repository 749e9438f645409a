//! What a walk does with the files that it finds.

use std::io::Read;
use std::path::PathBuf;

use super::report::Spot;

/// What a walk does with the files that it finds. `path` is called only for messages.
pub(super) trait Visitor {
    /// Whether the walk has to end. Enforces the time limits, so a walk calls it regularly.
    fn is_stopped(&self) -> bool;

    /// Counts entries that were checked.
    fn count_checked(&self, count: u64);

    /// Counts something that could not be read.
    fn count_unreadable(&self);

    /// Searches a name, or the target of a link.
    fn search_text(&self, text: &[u8], spot: Spot, path: &dyn Fn() -> PathBuf);

    /// Searches the content of one file.
    fn search_file(&mut self, reader: &mut dyn Read, path: &dyn Fn() -> PathBuf);
}
