//! The one place that makes a stranger's text fit to be shown.
//!
//! Whatever a peer, a file or the environment says passes [`escape`] before it reaches a terminal, a log line, an
//! error or an audit record. Escaped are the C0 and C1 controls, DEL, bidirectional controls, line and paragraph
//! separators and invisible format characters; what is too long is cut, and says so.

use std::fmt::{self, Write as _};

use crate::limits::MAX_SHOWN;

/// `text` fit to be shown: escaped, and cut after [`MAX_SHOWN`] characters.
pub fn escape(text: &str) -> String {
    escape_up_to(text, MAX_SHOWN)
}

/// A whole message of ours, which may contain several strings that were cut one by one already.
/// Newlines are escaped too: a caller that prints several lines passes each one on its own.
pub fn escape_line(line: &str) -> String {
    escape_up_to(line, 16 * MAX_SHOWN)
}

/// All of `text`, escaped and not cut: for what somebody is asked to agree to. Its length was bounded before.
pub fn escape_whole(text: &str) -> String {
    escape_up_to(text, usize::MAX)
}

fn escape_up_to(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            let _ = write!(shown, "… ({} bytes in all)", text.len());
            break;
        }
        if changes_how_text_reads(c) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Controls, and characters of Unicode's `Cf`, `Zl` and `Zp` categories that hide or reorder what is around them.
fn changes_how_text_reads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that a peer sent. It can only be shown escaped.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Untrusted(String);

impl Untrusted {
    /// Marks `text` as a peer's.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it came, for putting it onto the wire again.
    pub(crate) fn raw(&self) -> &str {
        &self.0
    }

    /// Whether the peer said nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted({})", escape(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminal_and_bidi_controls_become_visible() {
        assert_eq!(
            escape("a\x1b[31mb\u{9b}c\u{202e}d\ne\x7f"),
            "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\u{a}e\\u{7f}"
        );
    }

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        assert_eq!(escape("clé_日本-42 %$"), "clé_日本-42 %$");
    }

    #[test]
    fn a_megabyte_is_cut_and_says_so() {
        let shown = escape(&"x".repeat(1 << 20));
        assert!(shown.len() < MAX_SHOWN + 40, "{}", shown.len());
        assert!(shown.ends_with("… (1048576 bytes in all)"));
    }

    proptest! {
        #[test]
        fn nothing_that_changes_how_text_reads_survives(text in ".*") {
            prop_assert!(!escape(&text).chars().any(changes_how_text_reads));
        }
    }
}
