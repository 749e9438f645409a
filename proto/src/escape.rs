//! Escaping of untrusted text.
//!
//! Text from a peer, a file or the environment passes [`escape`] before it reaches a terminal, a log line, an error or
//! an audit record. It escapes C0 and C1 controls, DEL, bidirectional controls, line and paragraph separators and
//! invisible format characters, and cuts what is too long, with a note.

use std::fmt::{self, Write as _};

use crate::limits::MAX_SHOWN;

/// Escapes `text`, and cuts it after [`MAX_SHOWN`] characters.
pub fn escape(text: &str) -> String {
    escape_up_to(text, MAX_SHOWN)
}

/// Escapes a whole message of ours, which may contain several strings that were cut already. Newlines are escaped
/// too: a caller that prints several lines passes each one on its own.
pub fn escape_line(line: &str) -> String {
    escape_up_to(line, 16 * MAX_SHOWN)
}

/// Escapes `text` without cutting it, for questions to a person, who must see all of it. The caller bounds its length.
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

/// Text that a peer sent. It can be shown escaped only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Untrusted(String);

impl Untrusted {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The unescaped text, for the wire only.
    pub(crate) fn raw(&self) -> &str {
        &self.0
    }

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
