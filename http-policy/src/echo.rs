//! A server that sends the credential back.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memchr_iter;
use memchr::memmem::Finder;
use proto::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use crate::auth::Auth;
use crate::credential::{CredentialError, basic_pair, value_of};
use crate::rule::Rule;

/// Shortest text that is looked for: shorter ones are found by chance in what has nothing to do with the credential.
const SHORTEST: usize = 8;

/// Overwrites the credential of one rule in an answer, with as many `*`: its value, and its base64 in both alphabets,
/// wherever in a longer text it begins.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    patterns: Arc<Vec<Pattern>>,
    /// Whether the credential was added: one that is too short is not looked for.
    is_added: bool,
    /// The end of what came, as far as it could be the beginning of a pattern: as it came, and as it goes on.
    held: Held,
}

#[derive(Clone, Default)]
struct Held {
    original: Vec<u8>,
    overwritten: Vec<u8>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.original.len())
    }
}

struct Pattern(Finder<'static>);

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pattern(..)")
    }
}

impl Echo {
    /// What is looked for in answers to requests with this credential.
    ///
    /// # Errors
    /// [`CredentialError`], if the value cannot be a credential of this rule.
    pub fn new(rule: &Rule, secret: &Secret) -> Result<Self, CredentialError> {
        let value = value_of(secret)?;
        let text = match rule.auth() {
            Auth::Bearer | Auth::Header(_) => Zeroizing::new(value.to_vec()),
            Auth::Basic(user) => {
                let pair = basic_pair(user.as_deref(), value)?;
                let password = pair.iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
                let password = pair.get(password..).unwrap_or_default();
                // It is found in what is sent, too. One that is too short is found there only, together with its user.
                if password.len() >= SHORTEST { Zeroizing::new(password.to_vec()) } else { pair }
            }
        };
        let mut texts = base64_cores(&text);
        texts.push(text);
        texts.retain(|text| text.len() >= SHORTEST);
        texts.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        texts.dedup();
        let patterns = texts.iter().map(|text| Pattern(Finder::new(text.as_slice()).into_owned())).collect();
        Ok(Self { patterns: Arc::new(patterns), is_added: true, held: Held::default() })
    }

    /// For answers to requests to which no credential was added.
    pub fn none() -> Self {
        Self::default()
    }

    /// For another answer.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { patterns: Arc::clone(&self.patterns), is_added: self.is_added, held: Held::default() }
    }

    /// Whether no credential was added.
    pub fn is_none(&self) -> bool {
        !self.is_added
    }

    /// Whether the credential is in `text`.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.0.find(text).is_some())
    }

    /// `text` as it goes on, if that is other than it is.
    pub(crate) fn overwritten(&self, text: &[u8]) -> Option<Vec<u8>> {
        let ranges = self.find(text);
        (!ranges.is_empty()).then(|| overwrite(text, &ranges))
    }

    /// The next bytes of a body, as they go on. What could be the beginning of the credential is held until more comes, or
    /// [`finish`](Self::finish) is called.
    pub fn overwrite<'c>(&mut self, chunk: &'c [u8]) -> Cow<'c, [u8]> {
        if self.held.original.is_empty() {
            let (ranges, hold) = (self.find(chunk), self.hold(chunk));
            if ranges.is_empty() && hold == 0 {
                return Cow::Borrowed(chunk);
            }
            let mut out = overwrite(chunk, &ranges);
            self.keep(chunk, &mut out, hold);
            return Cow::Owned(out);
        }
        let mut original = std::mem::take(&mut self.held.original);
        let mut out = std::mem::take(&mut self.held.overwritten);
        original.extend_from_slice(chunk);
        out.extend_from_slice(chunk);
        for range in self.find(&original) {
            if let Some(range) = out.get_mut(range) {
                range.fill(b'*');
            }
        }
        let hold = self.hold(&original);
        self.keep(&original, &mut out, hold);
        original.zeroize();
        Cow::Owned(out)
    }

    /// The end of the body.
    pub fn finish(&mut self) -> Vec<u8> {
        self.held.original.zeroize();
        self.held.original.clear();
        std::mem::take(&mut self.held.overwritten)
    }

    /// Takes the last `hold` bytes off `out`.
    fn keep(&mut self, original: &[u8], out: &mut Vec<u8>, hold: usize) {
        self.held.original = original.get(original.len() - hold..).unwrap_or_default().to_vec();
        self.held.overwritten = out.split_off(out.len() - hold);
    }

    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for Pattern(finder) in self.patterns.iter() {
            let mut start = 0;
            while let Some(at) = text.get(start..).and_then(|rest| finder.find(rest)) {
                let at = start + at;
                found.push(at..at + finder.needle().len());
                start = at + 1;
            }
        }
        found
    }

    /// How many bytes at the end of `text` are the beginning of a pattern.
    fn hold(&self, text: &[u8]) -> usize {
        let beginning = |Pattern(finder): &Pattern| {
            let needle = finder.needle();
            let start = text.len().saturating_sub(needle.len() - 1);
            let tail = text.get(start..).unwrap_or_default();
            let first = needle.first().copied().unwrap_or_default();
            memchr_iter(first, tail)
                .find(|&at| tail.get(at..).is_some_and(|end| needle.starts_with(end)))
                .map_or(0, |at| tail.len() - at)
        };
        self.patterns.iter().map(beginning).max().unwrap_or(0)
    }
}

fn overwrite(text: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let mut out = text.to_vec();
    for range in ranges {
        if let Some(range) = out.get_mut(range.clone()) {
            range.fill(b'*');
        }
    }
    out
}

/// The characters that the base64 of every text has that has `text` in it: for each of the three places where it can begin,
/// in both alphabets.
fn base64_cores(text: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut cores = Vec::new();
    for (before, padding) in [&[][..], &[0], &[0, 0]].into_iter().enumerate() {
        let padded = Zeroizing::new([padding, text].concat());
        // Bits of other bytes are in the first characters, and in the last one.
        let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(engine.encode(&*padded));
            cores.push(Zeroizing::new(encoded.as_bytes().get(first..last).unwrap_or_default().to_vec()));
        }
    }
    cores
}

#[cfg(test)]
mod tests;
