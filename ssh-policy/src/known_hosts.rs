//! The text of known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

use std::collections::HashSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::host_name::HostName;
use crate::key::public_key::{KeyType, PlainKey, PublicKey};
use crate::key::signature::is_verifiable;

/// The keys of hosts, of certificate authorities for hosts, and revoked keys.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    lines: Vec<Line>,
    /// Revoked for all hosts, whatever names the line has: a stolen key is not trustworthy anywhere.
    revoked: HashSet<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Line {
    names: HostPatterns,
    is_authority: bool,
    key: Vec<u8>,
}

#[derive(Debug, Clone)]
enum HostPatterns {
    Patterns(Vec<Pattern>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

#[derive(Debug, Clone)]
struct Pattern {
    is_negated: bool,
    text: String,
}

/// A `@revoked` line whose key cannot be read. It is an error because skipping the line would trust the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("invalid known_hosts entry (line {line}): the revoked key cannot be read")]
pub struct InvalidRevocation {
    /// Counted from 1.
    pub line: usize,
}

impl KnownHosts {
    /// Adds the lines of one file. A line that is not understood is skipped and not trusted: another version of OpenSSH
    /// may understand it.
    ///
    /// # Errors
    /// [`InvalidRevocation`].
    pub fn add(&mut self, text: &str) -> Result<(), InvalidRevocation> {
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace();
            let Some(first) = fields.next() else { continue };
            let (marker, names) = match first.strip_prefix('@') {
                Some(marker) => (Some(marker), fields.next()),
                None => (None, Some(first)),
            };
            let (Some(names), Some(kind), Some(key)) = (names, fields.next(), fields.next()) else {
                if marker == Some("revoked") {
                    return Err(InvalidRevocation { line: index + 1 });
                }
                continue;
            };
            if marker == Some("revoked") {
                let may_be_used = KeyType::named(kind.as_bytes()).is_some() || kind.contains("-cert-");
                match STANDARD.decode(key).ok().as_deref().map(PublicKey::parse) {
                    Some(Ok(key)) => drop(self.revoked.insert(key.plain.encode())),
                    Some(Err(_)) | None if may_be_used => {
                        return Err(InvalidRevocation { line: index + 1 });
                    }
                    Some(Err(_)) | None => {}
                }
            } else if let Some(line) = Line::parse(marker, names, kind, key) {
                self.lines.push(line);
            }
        }
        Ok(())
    }

    /// The keys of a host, or of the authorities for it, in the order of the lines, without revoked ones.
    pub(crate) fn keys_of(&self, host: &HostName, authorities: bool) -> Vec<&[u8]> {
        let with_name = |name: &str| -> Vec<&[u8]> {
            let lines = self.lines.iter().filter(|line| line.is_authority == authorities);
            let keys = lines.filter(|line| line.names.match_host(name)).map(|line| &line.key[..]);
            keys.filter(|key| !self.is_revoked(key)).collect()
        };
        let exact = with_name(&host.to_string());
        if exact.is_empty() && !host.has_default_port() {
            // As in OpenSSH: patterns for authorities do not have ports.
            return with_name(host.without_port());
        }
        exact
    }

    pub(crate) fn is_revoked(&self, key: &[u8]) -> bool {
        self.revoked.contains(key)
    }

    /// A name of the host with this key, if there is one that is neither hashed nor a pattern.
    pub fn name_of(&self, key: &[u8]) -> Option<String> {
        let lines = self.lines.iter().filter(|line| !line.is_authority && line.key == key);
        lines.flat_map(|line| line.names.plain()).next().map(str::to_owned)
    }
}

impl Line {
    fn parse(marker: Option<&str>, names: &str, kind: &str, key: &str) -> Option<Self> {
        let is_authority = match marker {
            None => false,
            Some("cert-authority") => true,
            Some(_) => return None,
        };
        let names = HostPatterns::parse(names)?;
        let key = STANDARD.decode(key).ok()?;
        let parsed = PlainKey::parse(&key).ok()?;
        let is_useful = parsed.kind().name() == kind && is_verifiable(&parsed);
        is_useful.then_some(Self { names, is_authority, key })
    }
}

impl HostPatterns {
    fn parse(field: &str) -> Option<Self> {
        if field.starts_with('#') {
            return None;
        }
        if let Some(hashed) = field.strip_prefix('|') {
            let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
            return Some(Self::Hashed {
                salt: STANDARD.decode(salt).ok()?,
                hash: STANDARD.decode(hash).ok()?,
            });
        }
        let patterns = field.split(',').map(|pattern| match pattern.strip_prefix('!') {
            Some(text) => Pattern { is_negated: true, text: text.to_ascii_lowercase() },
            None => Pattern { is_negated: false, text: pattern.to_ascii_lowercase() },
        });
        Some(Self::Patterns(patterns.collect()))
    }

    fn match_host(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                // The format demands SHA-1. The hash only hides names; nothing is proven by it.
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
            Self::Patterns(patterns) => {
                let mut matching =
                    patterns.iter().filter(|pattern| glob(pattern.text.as_bytes(), name.as_bytes()));
                let mut any = false;
                matching.all(|pattern| {
                    any = true;
                    !pattern.is_negated
                }) && any
            }
        }
    }

    /// The names that are not patterns.
    fn plain(&self) -> impl Iterator<Item = &str> {
        let patterns = match self {
            Self::Patterns(patterns) => &patterns[..],
            Self::Hashed { .. } => &[],
        };
        let plain =
            patterns.iter().filter(|pattern| !pattern.is_negated && !pattern.text.contains(['*', '?']));
        plain.map(|pattern| &pattern.text[..])
    }
}

/// Whether `pattern`, with `*` for any text and `?` for one character, matches the whole `text`. Backtracks to the last
/// star only, so its time is bounded by the product of the lengths.
fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut star = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            (Some((wanted, pattern_rest)), Some((byte, text_rest))) if *wanted == b'?' || wanted == byte => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            (None, None) => return true,
            (Some(_) | None, Some(_)) | (Some(_), None) => {
                let Some((after, from)) = star else { return false };
                let Some((_, from)) = from.split_first() else { return false };
                star = Some((after, from));
                (pattern, text) = (after, from);
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn known(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add(text).unwrap();
    known
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestKey;

    fn knows(text: &str, host: &str) -> bool {
        !known(text).keys_of(&host.parse().unwrap(), false).is_empty()
    }

    #[test]
    fn names_match_as_in_openssh() {
        let key = TestKey::ed25519();
        for (names, host, matches) in [
            ("git.example", "git.example", true),
            ("Git.Example", "git.example", true),
            ("git.example", "git.example:2222", true),
            ("[git.example]:2222", "git.example:2222", true),
            ("[git.example]:2222", "git.example", false),
            ("a.example,git.example", "git.example", true),
            ("*.example", "git.example", true),
            ("*.example", "example", false),
            ("g?t.example", "git.example", true),
            ("g?t.example", "giit.example", false),
            ("*.example,!git.example", "git.example", false),
            ("!git.example,*.example", "a.example", true),
            ("!git.example", "a.example", false),
            ("*", "[2001:db8::1]", true),
            ("2001:db8::1", "[2001:db8::1]", true),
        ] {
            assert_eq!(knows(&key.line(names), host), matches, "{names} {host}");
        }
    }

    #[test]
    fn hashed_names_match() {
        // `ssh-keygen -H` made them of `git.example` and `[git.example]:2222`.
        let text = include_str!("testdata/hashed_known_hosts");
        let [usual, other] = text.lines().collect::<Vec<_>>()[..] else { panic!("two lines") };
        assert!(knows(usual, "git.example"));
        assert!(!knows(usual, "evil.example"));
        assert!(knows(other, "git.example:2222"));
        assert!(!knows(other, "git.example"));
        let known = known(text);
        assert_eq!(known.name_of(&known.lines[0].key), None);
    }

    #[test]
    fn lines_that_are_not_understood_are_skipped() {
        let key = TestKey::ed25519();
        let good = key.line("git.example");
        for text in [
            format!("#{good}"),
            format!("@unheard-of {good}"),
            good.replacen("ssh-ed25519", "ssh-rsa", 1),
            good.replacen("AAAA", "AAA", 1),
            TestKey::sk().line("git.example"),
            "git.example".to_owned(),
            "git.example ssh-ed25519".to_owned(),
            "|1|x git.example".to_owned(),
            key.line("|2|YQ==|YQ=="),
        ] {
            assert!(!knows(&text, "git.example"), "{text}");
        }
        assert!(knows(&format!("\r\n# hello\r\n  {}\r\n", good.trim_end()), "git.example"));
        assert!(knows(&format!("{} a comment, \u{fffd}", good.trim_end()), "git.example"));
    }

    #[test]
    fn revoked_keys_are_gone_and_invalid_revocations_are_errors() {
        let key = TestKey::ed25519();
        let text = key.line("git.example") + "@revoked " + &key.line("other.example");
        assert!(!knows(&text, "git.example"));
        let mut known = KnownHosts::default();
        for mangled in
            ["@revoked *", "@revoked * ssh-ed25519 AAAA", "@revoked * ssh-rsa-cert-v01@openssh.com !"]
        {
            assert_eq!(known.add(&format!("\n{mangled}\n")), Err(InvalidRevocation { line: 2 }), "{mangled}");
        }
        // Such a key can never be used here.
        assert_eq!(known.add("@revoked * ssh-dss AAAA"), Ok(()));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "(\\PC|[@|*?!,\\[\\]: \\n\\r\\t])*", pattern: Vec<u8>, name: Vec<u8>) {
            let _ = KnownHosts::default().add(&text);
            let _ = glob(&pattern, &name);
        }

        #[test]
        fn stars_stand_for_anything(a in "[a-c]*", b in "[a-c]*", c in "[a-c]*") {
            let text = format!("{a}{b}{c}");
            for pattern in [format!("{a}*{c}"), format!("*{b}*"), format!("{a}{b}*"), "*".to_owned()] {
                prop_assert!(glob(pattern.as_bytes(), text.as_bytes()), "{}", pattern);
            }
        }
    }
}
