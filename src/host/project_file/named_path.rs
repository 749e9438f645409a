//! Where a name in a project file leads: what `allow` shows and records, and `run` compares.

use std::path::{Path, PathBuf};

use bridge_host::Contents;

use super::digest::Digest;

/// A file, directory or socket that a project file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// The key with its tables: `secrets.TOKEN.src`.
    pub(crate) key: String,
    /// As the file has it.
    pub(crate) written: String,
    /// Absolute, with all links resolved.
    pub(crate) leads_to: PathBuf,
    /// What a known_hosts or CA file holds; [`Contents::Any`] for other files.
    pub(crate) contents: Contents,
    /// Whether there is a link on the way.
    pub(crate) by_link: bool,
    /// Whether it is outside the repository.
    pub(crate) outside: bool,
}

/// One line of a record, without spaces in its fields: key, name, destination, contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedPath(String);

impl NamedPath {
    /// For the question of `allow`; not escaped yet.
    pub(crate) fn description(&self) -> String {
        let Self { key, written, leads_to, contents, by_link, outside } = self;
        let mut notes = Vec::new();
        if *by_link {
            notes.push("through a symbolic link".to_owned());
        }
        if *outside {
            notes.push("outside the repository".to_owned());
        }
        notes.extend(contents_text(*contents));
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{key}: {written} is {}{notes}", leads_to.display())
    }

    pub(super) fn record(&self) -> RecordedPath {
        let fields = [
            self.key.as_bytes(),
            self.written.as_bytes(),
            bytes(&self.leads_to),
            contents_word(self.contents).as_bytes(),
        ]
        .map(encoded);
        RecordedPath(fields.join(" "))
    }
}

impl RecordedPath {
    pub(super) fn parse(line: &str) -> Option<Self> {
        (line.split(' ').count() == 4).then(|| Self(line.to_owned()))
    }

    pub(super) fn as_line(&self) -> &str {
        &self.0
    }

    /// Destination and contents, for people.
    pub(super) fn destination(&self) -> String {
        let mut fields = self.0.split(' ').skip(2).map(decoded);
        let (leads_to, contents) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let leads_to = String::from_utf8_lossy(&leads_to).into_owned();
        match &*String::from_utf8_lossy(&contents) {
            "-" => leads_to,
            "missing" => format!("{leads_to}, which does not exist"),
            sha256 => format!("{leads_to}, with the SHA-256 {sha256}"),
        }
    }
}

fn contents_text(contents: Contents) -> Option<String> {
    match contents {
        Contents::Any => None,
        Contents::Missing => Some("does not exist".to_owned()),
        Contents::Sha256(sha256) => Some(format!("SHA-256 {}", Digest::from(sha256))),
    }
}

fn contents_word(contents: Contents) -> String {
    match contents {
        Contents::Any => "-".to_owned(),
        Contents::Missing => "missing".to_owned(),
        Contents::Sha256(sha256) => Digest::from(sha256).to_string(),
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Percent-encoded, so that it has neither spaces nor line ends, and stays readable.
pub(super) fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, byte| {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => text += &format!("%{byte:02X}"),
            _ => text.push(char::from(*byte)),
        }
        text
    })
}

/// The reverse of [`encoded`]; what is not encoded so stays as it is.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits =
            after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_four_fields() {
        let path = NamedPath {
            key: "secrets.a b.src".to_owned(),
            written: "x\ny".to_owned(),
            leads_to: PathBuf::from("/d 100%/é"),
            contents: Contents::of(None),
            by_link: false,
            outside: true,
        };
        let record = path.record();
        assert_eq!(record.as_line(), "secrets.a%20b.src x%0Ay /d%20100%25/%C3%A9 missing");
        assert_eq!(RecordedPath::parse(record.as_line()), Some(record.clone()));
        assert_eq!(record.destination(), "/d 100%/é, which does not exist");
        assert_eq!(RecordedPath::parse("a b c"), None);
    }
}
