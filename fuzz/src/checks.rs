//! What several targets check, and how they take values from an input.

/// Text that a person may see: nothing in it moves the cursor, hides or reorders text, and it is not endless.
///
/// The list of characters is written anew, from `DerivedCoreProperties.txt` (Default_Ignorable_Code_Point) and the general
/// categories, and not taken from `proto::escape`.
#[track_caller]
pub(crate) fn assert_shown(text: &str, limit: usize) {
    for c in text.chars() {
        let hidden = matches!(u32::from(c),
            0x00..=0x1f | 0x7f..=0x9f // C0, DEL, C1
            | 0x2028..=0x202e | 0xfff9..=0xfffb // separators of lines and paragraphs, bidi, annotations
            | 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfff8
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff
            | 0x2800); // a Braille pattern without dots
        assert!(!hidden, "U+{:04X} in shown text", u32::from(c));
    }
    assert!(text.len() <= limit, "{} bytes of shown text", text.len());
}

/// Longest escaped string, in bytes: `MAX_SHOWN` characters of the form `\u{10ffff}`, and a note of what was cut.
pub(crate) const MAX_ESCAPED: usize = proto::limits::MAX_SHOWN * 10 + 64;

/// Longest error that a person sees: a few escaped strings in a sentence.
pub(crate) const MAX_ERROR: usize = 4 * MAX_ESCAPED;

/// The parts of an input that has a structure of its own.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Up to this many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after their length, which is two bytes.
    pub(crate) fn sized(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        self.bytes(length)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes what [`Input::sized`] reads.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}
