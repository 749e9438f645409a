//! What a git credential is for.

use std::fmt;
use std::net::Ipv6Addr;

use crate::credentials::{decoded, encode};

const HTTPS_PORT: u16 = 443;
/// A repository is the same with and without it.
const SUFFIX: &str = ".git";
const LONGEST_HOST: usize = 253;
const LONGEST_PATH: usize = 1024;

/// An HTTPS server, and the repositories there whose path begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitScope {
    /// In small letters; an IPv6 address in brackets.
    host: String,
    port: u16,
    /// Its parts, the last one without `.git`; none of them empty, `.` or `..`.
    path: Vec<String>,
}

impl GitScope {
    /// `HOST[:PORT][/PATH]` as in a URL, so with the path percent-encoded.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        if path.contains(['?', '#']) {
            return None;
        }
        let path = decoded(path.as_bytes())?;
        Self::of_request(host, Some(std::str::from_utf8(path.expose()).ok()?))
    }

    /// Host, with its port if it is not the usual one, and path as git says them (git-credential(1)). A path with a part
    /// that a server could take for another one is none.
    pub fn of_request(host: &str, path: Option<&str>) -> Option<Self> {
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

    /// The path as git says it, not encoded; `None` for the whole server.
    pub fn path(&self) -> Option<String> {
        (!self.path.is_empty()).then(|| self.path.join("/"))
    }

    /// How many parts the path has: the more, the more specific.
    pub fn depth(&self) -> usize {
        self.path.len()
    }

    /// Whether `wanted` is on the same server and at this path or below it.
    pub fn covers(&self, wanted: &Self) -> bool {
        let last = self.path.len();
        let fits = |(index, (own, other)): (usize, (&String, &String))| {
            // What is below a repository is behind its `.git` (`repo.git/info/lfs`).
            let bare = if index + 1 == last { other.trim_end_matches(SUFFIX) } else { other };
            own == bare
        };
        let same_server = self.host == wanted.host && self.port == wanted.port;
        same_server && last <= wanted.path.len() && self.path.iter().zip(&wanted.path).enumerate().all(fits)
    }
}

impl fmt::Display for GitScope {
    /// What [`GitScope::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())?;
        let Some(path) = self.path() else { return Ok(()) };
        let mut text = Vec::with_capacity(3 * path.len());
        encode(path.as_bytes(), b"/", &mut text);
        write!(f, "/{}", String::from_utf8_lossy(&text))
    }
}

/// Digits alone: `parse` would take a sign.
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
    fn what_could_mean_something_else_is_no_scope() {
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
        fn what_is_written_is_read_again(
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
