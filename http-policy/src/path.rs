//! Paths: which ones pass, and which of them a rule is for.
//!
//! Servers decode a path in many ways: twice, with `\` for `/`, without what follows a `;`, without regard to case, with
//! `..` removed before or after. So this is a list of what passes: a path whose segments are the same for all of them.

use thiserror::Error;

mod fold;

use fold::fold;
pub(crate) use fold::looks_like;

/// The segments of a path, decoded once. An encoded slash separates segments too: scoped npm packages are asked for as
/// `/@scope%2fname`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Segments(Vec<String>);

/// Why a path does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PathFault {
    #[error("it has an empty segment (//)")]
    Empty,
    #[error("it has a segment . or ..")]
    Dots,
    #[error("it has a segment that ends in a dot or a space")]
    FinalDot,
    #[error("it has % without two hexadecimal digits after it")]
    Percent,
    #[error("it has an encoded %, ? or #")]
    Delimiter,
    #[error("it has a backslash")]
    Backslash,
    #[error("it has a character that is not shown")]
    Hidden,
    #[error("it has a character that looks like one with a meaning in paths")]
    Lookalike,
    #[error("it is not UTF-8 once decoded")]
    NotUtf8,
}

impl Segments {
    /// The segments of `path`, which is percent-encoded, begins with `/` and has no query.
    pub(crate) fn parse(path: &str) -> Result<Self, PathFault> {
        let decoded = String::from_utf8(decode(path.as_bytes())?).map_err(|_| PathFault::NotUtf8)?;
        if let Some(fault) = decoded.chars().find_map(character_fault) {
            return Err(fault);
        }
        if proto::escape_whole(&decoded) != decoded {
            return Err(PathFault::Hidden);
        }
        let mut segments: Vec<String> =
            decoded.strip_prefix('/').unwrap_or(&decoded).split('/').map(str::to_owned).collect();
        // A final slash.
        segments.pop_if(|last| last.is_empty());
        match segments.iter().find_map(|segment| segment_fault(segment)) {
            Some(fault) => Err(fault),
            None => Ok(Self(segments)),
        }
    }

    /// The segments of a path of which none can be more than its rule permits. What is refused even so: control characters,
    /// with which a path could end a request line, and a beginning that URL parsers take for another host.
    pub(crate) fn parse_any(path: &str) -> Result<Self, PathFault> {
        let decoded = decode_leniently(path.as_bytes());
        if decoded.starts_with("//") || decoded.starts_with("/\\") {
            return Err(PathFault::Empty);
        }
        if decoded.contains(char::is_control) {
            return Err(PathFault::Hidden);
        }
        Ok(Self(decoded.split('/').skip(1).map(str::to_owned).collect()))
    }

    /// Without so many segments at its end.
    pub(crate) fn without_last(&self, count: usize) -> Self {
        Self(self.0.iter().take(self.0.len().saturating_sub(count)).cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of segments: the more, the more specific.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `other` is at this path or below it. With `git`, a final `.git` of the last segment here does not count.
    pub(crate) fn covers(&self, other: &Self, git: bool) -> bool {
        let last = self.len().wrapping_sub(1);
        let fits = |(index, (own, other)): (usize, (&String, &String))| {
            own == other || (git && index == last && without_git(own) == without_git(other))
        };
        self.len() <= other.len() && self.0.iter().zip(&other.0).enumerate().all(fits)
    }

    /// Whether a server could take `other` for a path at or below this one: case, parameters and `.git` do not count.
    pub(crate) fn could_cover(&self, other: &Self) -> bool {
        self.len() <= other.len() && self.0.iter().zip(&other.0).all(|(own, other)| fold(own) == fold(other))
    }

    /// As in a URL, beginning with `/`; empty for no segments.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        for segment in self.iter() {
            text.push('/');
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    text.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        text
    }
}

/// A repository and its name with `.git` are the same one.
fn without_git(segment: &str) -> &str {
    segment.strip_suffix(".git").filter(|rest| !rest.is_empty()).unwrap_or(segment)
}

/// Decodes percent-encoding, once.
fn decode(bytes: &[u8]) -> Result<Vec<u8>, PathFault> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|&digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(PathFault::Percent) };
        let byte = u8::try_from(high << 4 | low).map_err(|_| PathFault::Percent)?;
        // Also what a second decoding would decode, and what would end the path.
        if matches!(byte, b'%' | b'?' | b'#') {
            return Err(PathFault::Delimiter);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

/// Decodes what can be decoded.
pub(crate) fn decode_leniently(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            (_, _, _) => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = tail.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn character_fault(c: char) -> Option<PathFault> {
    match c {
        '\\' => Some(PathFault::Backslash),
        '?' | '#' | '%' => Some(PathFault::Delimiter),
        _ if c.is_control() => Some(PathFault::Hidden),
        _ => looks_like(c).filter(|like| r"/\.;:?#%".contains(*like)).map(|_| PathFault::Lookalike),
    }
}

fn segment_fault(segment: &str) -> Option<PathFault> {
    // Java servers drop what follows a `;`; for Windows, what follows a `:` names a stream of the same file.
    let name = segment.split(';').next().unwrap_or_default();
    let file = segment.split([';', ':']).next().unwrap_or_default();
    let ends_badly = |part: &str| part.ends_with(['.', ' ']);
    match name.trim() {
        "" => Some(if segment.is_empty() || segment.contains(';') {
            PathFault::Empty
        } else {
            PathFault::FinalDot
        }),
        _ if matches!(file.trim(), "." | "..") => Some(PathFault::Dots),
        _ if [segment, name, file].into_iter().any(ends_badly) => Some(PathFault::FinalDot),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::hostile_path;
