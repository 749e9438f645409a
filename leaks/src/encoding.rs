//! The encodings in which a value may leak.

use std::fmt;

use zeroize::Zeroizing;

use crate::base64_text::determined;
use crate::compare::Form;
use crate::spelling::marks;
use crate::utf16::{big_endian, little_endian};

/// The encoding a match was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// Not encoded.
    Raw,
    /// Base64 of either alphabet, of the value alone or of something longer that contains it.
    Base64,
    /// Percent-encoded, as in a URL or an HTML form.
    UrlEncoded,
    /// Two hexadecimal digits a byte.
    Hex,
    /// Escaped with backslashes, as in a string of JSON, JavaScript, Java or C.
    Json,
    /// Escaped with entities, as in XML and HTML.
    Xml,
    /// Quoted, as by a shell, or with doubled quotes, as in SQL and CSV.
    Shell,
    /// UTF-16 of either byte order.
    Utf16,
}

impl Encoding {
    /// For messages and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::UrlEncoded => "url-encoded",
            Self::Hex => "hex",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Shell => "shell",
            Self::Utf16 => "utf-16",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Encoding {
    /// The one that fits a match best: by its form, and the [marks] of its spellings.
    pub(crate) fn of(form: Form, marks: u8) -> Self {
        match form {
            Form::Base64 => Self::Base64,
            Form::Hex => Self::Hex,
            Form::Utf16Le | Form::Utf16Be => Self::Utf16,
            Form::Text if marks & marks::PERCENT != 0 => Self::UrlEncoded,
            Form::Text if marks & marks::ENTITY != 0 => Self::Xml,
            Form::Text if marks & marks::SHELL != 0 => Self::Shell,
            Form::Text if marks & marks::BACKSLASH != 0 => Self::Json,
            Form::Text => Self::Raw,
        }
    }
}

/// A pattern, and how it is written in the input.
pub(crate) struct Encoded {
    pub(crate) form: Form,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The same pattern is there with another anchor, which this one must not overlap.
    pub(crate) is_second: bool,
}

impl Encoded {
    pub(crate) fn new(form: Form, bytes: &[u8]) -> Self {
        Self { form, bytes: Zeroizing::new(bytes.to_vec()), is_second: false }
    }

    /// The pattern once for each anchor that it needs: two in hexadecimal digits, where an offset and a column of text may
    /// break one.
    pub(crate) fn all(form: Form, bytes: &[u8]) -> impl Iterator<Item = Self> {
        let second = (form == Form::Hex).then(|| Self { is_second: true, ..Self::new(form, bytes) });
        [Self::new(form, bytes)].into_iter().chain(second)
    }
}

/// `value` in every form that is searched for, [`Form::Text`] first.
pub(crate) fn forms(value: &[u8]) -> Vec<(Form, Zeroizing<Vec<u8>>)> {
    let copy = || Zeroizing::new(value.to_vec());
    let mut all = vec![(Form::Text, copy())];
    all.push((Form::Hex, copy()));
    for before in 0..3 {
        all.push((Form::Base64, determined(value, before)));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        let little_endian = little_endian(text);
        // As for PowerShell's -EncodedCommand, in whose strings quotes are doubled.
        all.extend([0, 1, 2].map(|before| (Form::Base64, determined(&little_endian, before))));
        if text.contains('\'') {
            let doubled = crate::utf16::little_endian(&Zeroizing::new(text.replace('\'', "''")));
            all.extend([0, 1, 2].map(|before| (Form::Base64, determined(&doubled, before))));
        }
        all.push((Form::Utf16Le, little_endian));
        all.push((Form::Utf16Be, big_endian(text)));
    }
    all
}
