//! How the text of a peer is shown in a question: so that it cannot look like another line of it.

use std::fmt::Write as _;

/// Most characters of one value that are shown, quotes not counted: with its label and the note of its length, it fits into a line of 80.
const MAX_SHOWN: usize = 48;

/// What a single space in the middle looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spaces {
    /// As a space. Two in a row are escaped.
    Single,
    /// Escaped: names have none.
    Escaped,
}

/// `text` in double quotes, cut with a note of its length. Everything but printable ASCII is escaped: letters of other
/// scripts look like those of ASCII, or reorder what is around them. So are spaces that could move the rest of a line to
/// where another line begins.
pub(crate) fn quoted(text: &str, spaces: Spaces) -> String {
    let mut shown = String::from("\"");
    let mut length = 0;
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        let piece = match c {
            '"' | '\\' => format!("\\{c}"),
            ' ' if spaces == Spaces::Single && before != ' ' && next != ' ' => c.to_string(),
            '!'..='~' => c.to_string(),
            _ => format!("\\u{{{:x}}}", u32::from(c)),
        };
        before = c;
        length += piece.len();
        if length > MAX_SHOWN {
            // Writing to a String cannot fail.
            let _ = write!(shown, "…\" ({} characters)", text.chars().count());
            return shown;
        }
        shown.push_str(&piece);
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_quoted_escaped_and_cut() {
        let padded = format!("git{}host:  github.com", " ".repeat(73));
        for (text, shown) in [
            ("git", r#""git""#.to_owned()),
            ("", r#""""#.to_owned()),
            ("a b", r#""a\u{20}b""#.to_owned()),
            ("git\nhost: github.com", r#""git\u{a}host:\u{20}github.com""#.to_owned()),
            (r#"a" (x"#, r#""a\"\u{20}(x""#.to_owned()),
            (r"\u{20}", r#""\\u{20}""#.to_owned()),
            // Cyrillic, Hebrew, an ideographic space, a filler that draws nothing, a soft hyphen.
            ("g\u{456}t", r#""g\u{456}t""#.to_owned()),
            ("\u{5d0}\u{3000}\u{3164}\u{ad}", r#""\u{5d0}\u{3000}\u{3164}\u{ad}""#.to_owned()),
            (&padded, format!("\"git{}…\" (93 characters)", r"\u{20}".repeat(7))),
        ] {
            assert_eq!(quoted(text, Spaces::Escaped), shown);
        }
        assert_eq!(quoted("the key of Bob", Spaces::Single), r#""the key of Bob""#);
        assert_eq!(quoted(" a  b ", Spaces::Single), r#""\u{20}a\u{20}\u{20}b\u{20}""#);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_one_short_line(text in "\\PC*|[ a-z\n]*") {
            for spaces in [Spaces::Single, Spaces::Escaped] {
                let shown = quoted(&text, spaces);
                prop_assert!(shown.chars().count() < 80, "{shown}");
                prop_assert!(shown.chars().all(|c| c == '…' || c == ' ' || c.is_ascii_graphic()), "{shown}");
                prop_assert!(!shown.contains("  "), "{shown}");
            }
        }
    }
}
