//! Escaping of untrusted text.
//!
//! Text from a peer, a file or the environment passes [`escape`] before it reaches a terminal, a log line, an error or
//! an audit record. It escapes what is not drawn or moves what is around it, and cuts what is too long, with a note.
//! The set is a table made from Unicode's data (`escape/table.rs`): controls, format characters, all that is
//! Default_Ignorable_Code_Point, every space but U+0020, separators, private use, what has no character yet, and a few
//! letters and symbols that are blank.

use std::fmt::{self, Write as _};

use crate::limits::MAX_SHOWN;

mod table;

/// Most combining marks that are shown on one character: no orthography needs more, and a pile of them covers the lines
/// above and below.
const MAX_MARKS: usize = 4;

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
    // A mark at the beginning would change what stands before this text, so it has no room there.
    let mut room_for_marks = 0usize;
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            let _ = write!(shown, "… ({} bytes in all)", text.len());
            break;
        }
        let (is_shown, room) = match kind(c) {
            Kind::Base => (true, MAX_MARKS),
            Kind::Mark => (room_for_marks > 0, room_for_marks.saturating_sub(1)),
            Kind::Escaped => (false, 0),
        };
        room_for_marks = room;
        if is_shown {
            shown.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
    }
    shown
}

/// What a character does to a line of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It takes a place of its own.
    Base,
    /// It is drawn over or under the character before it.
    Mark,
    /// It is not drawn, or it moves what is around it.
    Escaped,
}

fn kind(c: char) -> Kind {
    if (' '..='~').contains(&c) {
        Kind::Base
    } else if is_in(table::ESCAPED, c) {
        Kind::Escaped
    } else if is_in(table::MARKS, c) {
        Kind::Mark
    } else {
        Kind::Base
    }
}

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= c);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|&(_, last)| c <= last)
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

    /// Of each kind that DerivedCoreProperties.txt, UnicodeData.txt and fonts know to draw nothing or to move text.
    const INVISIBLE: &str = "\0\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{a0}\u{ad}\u{34f}\u{600}\u{61c}\u{70f}\u{890}\u{8e2}\
        \u{115f}\u{1160}\u{1680}\u{17b4}\u{17b5}\u{180b}\u{180c}\u{180d}\u{180e}\u{180f}\u{2000}\u{2003}\u{2007}\u{200a}\u{200b}\
        \u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{202f}\u{205f}\u{2060}\u{2061}\u{2064}\u{2065}\u{2066}\
        \u{2069}\u{206a}\u{206f}\u{2800}\u{3000}\u{3164}\u{e000}\u{f8ff}\u{fdd0}\u{fdef}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\
        \u{fff8}\u{fff9}\u{fffa}\u{fffb}\u{fffc}\u{fffe}\u{ffff}\u{110bd}\u{13430}\u{1343f}\u{13441}\u{13442}\u{16fe4}\u{1bca0}\
        \u{1bca3}\u{1d159}\u{1d173}\u{1d17a}\u{1fffe}\u{e0000}\u{e0001}\u{e0020}\u{e007f}\u{e0080}\u{e0100}\u{e01ef}\u{e01f0}\
        \u{e0fff}\u{f0000}\u{10fffd}\u{10ffff}";

    #[test]
    fn what_is_not_drawn_becomes_visible() {
        for c in INVISIBLE.chars() {
            assert_eq!(escape(&c.to_string()), format!("\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn marks_are_bounded_and_need_a_character_before_them() {
        // Decomposed Vietnamese, and a Hebrew letter with dagesh, shin dot, vowel and accent.
        for text in ["e\u{302}\u{323}", "\u{5e9}\u{5bc}\u{5c1}\u{5b8}\u{591}"] {
            assert_eq!(escape(text), text);
        }
        let stacked = format!("a{}b\u{301}", "\u{489}\u{301}\u{20dd}".repeat(30));
        assert_eq!(
            escape(&stacked),
            format!(
                "a\u{489}\u{301}\u{20dd}\u{489}{}b\u{301}",
                "\\u{301}\\u{20dd}".to_owned() + &"\\u{489}\\u{301}\\u{20dd}".repeat(28)
            )
        );
        assert_eq!(escape("\u{338}= \u{200b}\u{338}"), "\\u{338}= \\u{200b}\\u{338}");
    }

    #[test]
    fn to_escape_twice_changes_nothing() {
        let text = format!("{INVISIBLE}a{}", "\u{301}".repeat(9));
        assert_eq!(escape_whole(&escape_whole(&text)), escape_whole(&text));
    }

    // These classes come from regex-syntax, which has tables of its own.
    proptest! {
        #[test]
        fn nothing_ignorable_survives(text in "\\p{Default_Ignorable_Code_Point}{1,50}") {
            prop_assert!(escape(&text).is_ascii());
        }

        #[test]
        fn no_control_format_private_or_space_survives(text in "[\\p{C}\\p{Z}--\\p{Cn}]{1,50}") {
            prop_assert!(escape(&text).is_ascii());
        }

        #[test]
        fn letters_digits_and_punctuation_of_any_script_survive(text in "[\\p{Lu}\\p{Ll}\\p{N}\\p{P}\\p{Sc}\\p{Sm}]{0,50}") {
            prop_assert_eq!(escape(&text), text);
        }
    }
}
