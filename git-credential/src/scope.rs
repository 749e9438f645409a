//! The server, and the repositories there, that a git credential is for.

use std::fmt;
use std::net::Ipv6Addr;

use crate::percent::{decode, encode};

const HTTPS_PORT: u16 = 443;
/// Ignored when repositories are compared: `repo` and `repo.git` are the same one.
const SUFFIX: &str = ".git";
const LONGEST_HOST: usize = 253;
const LONGEST_PATH: usize = 1024;

/// An HTTPS server, and optionally the leading parts of a path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitScope {
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
    /// The parts, the last one without `.git`; none of them empty, `.` or `..`.
    path: Vec<String>,
}

impl GitScope {
    /// Parses `HOST[:PORT][/PATH]`, with the path percent-encoded as in a URL.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        if path.contains(['?', '#']) {
            return None;
        }
        let path = decode(path.as_bytes())?;
        Self::from_request(host, Some(std::str::from_utf8(path.expose()).ok()?))
    }

    /// From `host` (with a port unless it is 443) and `path` as in git's attributes, not encoded. `None` for an invalid
    /// host, and for a path that a server could take for another one (`..`, empty parts).
    pub fn from_request(host: &str, path: Option<&str>) -> Option<Self> {
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, number(port)?),
            Some(_) | None => (host, HTTPS_PORT),
        };
        let path = path.unwrap_or_default().trim_matches('/');
        let parts: Vec<String> = if path.is_empty() {
            Vec::new()
        } else {
            path.trim_end_matches(SUFFIX).split('/').map(str::to_owned).collect()
        };
        let is_part =
            |part: &String| !matches!(part.as_str(), "" | "." | "..") && !part.contains(char::is_control);
        let fits = path.len() <= LONGEST_PATH && parts.iter().all(is_part);
        fits.then_some(Self { host: host_name(host)?, port, path: parts })
    }

    /// `HOST[:PORT]`, as in a URL.
    pub fn server(&self) -> String {
        if self.port == HTTPS_PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The path as in git's attributes, not encoded; `None` for the whole server.
    pub fn path(&self) -> Option<String> {
        (!self.path.is_empty()).then(|| self.path.join("/"))
    }

    /// Number of parts of the path: the more, the more specific.
    pub fn depth(&self) -> usize {
        self.path.len()
    }

    /// Whether `requested` is on the same server and at this path or below it.
    pub fn covers(&self, requested: &Self) -> bool {
        let last = self.path.len();
        let fits = |(index, (own, other)): (usize, (&String, &String))| {
            // Paths below a repository follow its `.git` (`repo.git/info/lfs`).
            let bare = if index + 1 == last { other.trim_end_matches(SUFFIX) } else { other };
            own == bare
        };
        let same_server = self.host == requested.host && self.port == requested.port;
        same_server
            && last <= requested.path.len()
            && self.path.iter().zip(&requested.path).enumerate().all(fits)
    }
}

impl fmt::Display for GitScope {
    /// In the syntax of [`GitScope::parse`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())?;
        let Some(path) = self.path() else { return Ok(()) };
        let mut text = Vec::with_capacity(3 * path.len());
        encode(path.as_bytes(), b"/", &mut text);
        write!(f, "/{}", String::from_utf8_lossy(&text))
    }
}

/// Digits only: `parse` would accept a sign.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

fn host_name(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some(format!("[{}]", address.parse::<Ipv6Addr>().ok()?));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fits = (1..=LONGEST_HOST).contains(&host.len()) && host.bytes().all(plain);
    (fits && !host.starts_with(['-', '.'])).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scope_has_one_spelling() {
        for (text, spelling) in [
            ("GitHub.com", "github.com"),
            ("h:443", "h"),
            ("h:8443/", "h:8443"),
            ("h/org/", "h/org"),
            ("h/org/repo.git", "h/org/repo"),
            ("h/org/repo.git/", "h/org/repo"),
            ("h/My%20Project/_git/%72epo", "h/My%20Project/_git/repo"),
            ("[::0:1]:8443/a", "[::1]:8443/a"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(GitScope::parse(text).unwrap().to_string(), spelling);
        }
    }

    #[test]
    fn invalid_or_ambiguous_scopes_are_rejected() {
        for text in [
            "",
            "/a",
            ":443",
            "h:",
            "h:0",
            "h:+1",
            "h:65536",
            "h:x",
            "h h",
            "-h",
            ".h",
            "h\n",
            "u@h",
            "h:1:2",
            "::1",
            "[::1",
            "[h]",
            "h/.git",
            "h/a/.git",
            "h/a//b",
            "h/./a",
            "h/a/..",
            "h/%2e%2e/a",
            "h/a%0ab",
            "h/a%2f%2fb",
            "h/a?b",
            "h/a#b",
            "h/%",
            "h/%ff",
            "ä",
        ] {
            assert_eq!(GitScope::parse(text), None, "{text}");
        }
        assert_eq!(GitScope::parse(&"h".repeat(254)), None);
        assert_eq!(GitScope::parse(&format!("h/{}", "p".repeat(1025))), None);
    }
    proptest! {
        #[test]
        fn a_scope_survives_a_round_trip(
            host in "[a-zA-Z.]{0,5}|\\[[0-9a-f:]{2,9}\\]",
            rest in "(:[0-9]{1,5})?(/[a%./2egit]{0,6}|/\\PC{0,4}|/[a-c]{1,2}(\\.git){0,2}){0,3}",
        ) {
            if let Some(scope) = GitScope::parse(&format!("{host}{rest}")) {
                prop_assert!(scope.covers(&scope));
                prop_assert_eq!(GitScope::parse(&scope.to_string()), Some(scope));
            }
        }
    }
}
