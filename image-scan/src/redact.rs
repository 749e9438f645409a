//! Text from an image, made safe to show.

use proto::escape;

use crate::limits::MAX_TEXT;
use crate::search::Finder;

/// Replaces a text that itself holds a secret.
const WITHHELD: &str = "(withheld: it holds a secret)";

/// `text` escaped, or [`WITHHELD`]. Searched before it is cut: a part of a secret would not be found any more.
pub(crate) fn redact<F: Finder>(finder: &F, text: &str) -> String {
    if finder.holds(text.as_bytes()) { WITHHELD.to_owned() } else { escape(text) }
}

/// As [`redact`], and cut to [`MAX_TEXT`] characters.
pub(crate) fn redact_text<F: Finder>(finder: &F, text: &str) -> String {
    if finder.holds(text.as_bytes()) {
        return WITHHELD.to_owned();
    }
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => escape(text.get(..end).unwrap_or_default()) + "…",
        None => escape(text),
    }
}

/// As [`redact`], but withholds only those parts of the path that hold a secret.
pub(crate) fn redact_path<F: Finder>(finder: &F, path: &str) -> String {
    let whole = redact(finder, path);
    if whole != WITHHELD {
        return whole;
    }
    let parts: Vec<String> = path.split('/').map(|part| redact(finder, part)).collect();
    redact(finder, &parts.join("/"))
}
