//! The text of a secret: UTF-8, with or without a byte order mark, or UTF-16.

use proto::Secret;
use zeroize::Zeroizing;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_LE_MARK: &[u8] = b"\xff\xfe";
const UTF16_BE_MARK: &[u8] = b"\xfe\xff";

/// Fewest characters by which UTF-16 without a byte order mark is recognized.
const MIN_UNMARKED: usize = 4;

/// Bytes by which UTF-16 is recognized.
const MAX_CHECKED: usize = 4 << 10;

/// How the text of a secret is encoded, if not in a way that every program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// UTF-8 after a byte order mark, as editors of Windows and `-Encoding utf8` of Windows PowerShell write it.
    Utf8WithMark,
    /// UTF-16, as `>` of Windows PowerShell writes it.
    Utf16,
}

impl TextEncoding {
    /// `None` for UTF-8 without a byte order mark, and for what is no text.
    pub fn of(secret: &Secret) -> Option<Self> {
        let bytes = secret.expose();
        if bytes.starts_with(UTF8_MARK) {
            Some(Self::Utf8WithMark)
        } else {
            // The beginning says what the rest is. It may end between the units of one character.
            let head = |length: usize| bytes.get(..length).unwrap_or(bytes);
            utf16(head(MAX_CHECKED)).or_else(|| utf16(head(MAX_CHECKED - 2))).map(|_| Self::Utf16)
        }
    }
}

/// `secret` without a byte order mark of UTF-8.
pub(super) fn without_mark(secret: &[u8]) -> &[u8] {
    secret.strip_prefix(UTF8_MARK).unwrap_or(secret)
}

/// The text of a secret in UTF-16; `None` if it is not.
pub(super) fn utf16(secret: &[u8]) -> Option<Zeroizing<String>> {
    if let Some(text) = secret.strip_prefix(UTF16_LE_MARK) {
        return decoded(text, u16::from_le_bytes);
    }
    if let Some(text) = secret.strip_prefix(UTF16_BE_MARK) {
        return decoded(text, u16::from_be_bytes);
    }
    let (pairs, []) = secret.as_chunks::<2>() else { return None };
    // Without a mark only text in ASCII is told from other bytes: every second byte is zero.
    let is_text = |zero: usize, other: usize| {
        pairs.len() >= MIN_UNMARKED
            && pairs
                .iter()
                .all(|pair| pair.get(zero) == Some(&0) && pair.get(other).is_some_and(is_ascii_text))
    };
    if is_text(1, 0) {
        decoded(secret, u16::from_le_bytes)
    } else if is_text(0, 1) {
        decoded(secret, u16::from_be_bytes)
    } else {
        None
    }
}

fn is_ascii_text(byte: &u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

/// `None` if a pair of surrogates is not complete, or a byte is left: that is no text, but bytes of another format.
fn decoded(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Zeroizing<String>> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    // Large enough not to grow: the old allocation would not be wiped.
    let mut text = Zeroizing::new(String::with_capacity(pairs.len() * 3));
    for c in char::decode_utf16(pairs.iter().copied().map(unit)) {
        text.push(c.ok()?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(bytes: &[u8]) -> Option<TextEncoding> {
        TextEncoding::of(&Secret::new(bytes.to_vec()))
    }

    #[test]
    fn marks_and_utf_16_without_one_are_recognized() {
        assert_eq!(encoding(b"\xef\xbb\xbftoken"), Some(TextEncoding::Utf8WithMark));
        for utf16 in
            [&b"\xff\xfet\0\xe9\0"[..], b"\xfe\xff\0t\0\xe9", b"t\0o\0k\0n\0\r\0\n\0", b"\0t\0o\0k\0n"]
        {
            assert_eq!(encoding(utf16), Some(TextEncoding::Utf16), "{utf16:?}");
        }
        // An odd length, half a pair of surrogates, keys and archives that begin alike.
        for other in
            [&b"\xff\xfet\0x"[..], b"\xff\xfe\0\xd8", b"token", b"\0\0\0\x01\0\0\0\x02", b"t\0o\0", b""]
        {
            assert_eq!(encoding(other), None, "{other:?}");
        }
    }
}
