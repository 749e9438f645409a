//! What the bridge sends along with an agent, as help for the build's ssh and git: host keys, and which of the agent's
//! keys is for which repository. All of it ends up in files and options of these tools, so it is parsed strictly.

use std::str::FromStr;

use super::ssh_types::Malformed;
use crate::limits::{MAX_KNOWN_HOST, MAX_REPOSITORY};

/// One line of a known_hosts file (sshd(8)): printable ASCII, so that it is one line everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHost(String);

impl KnownHost {
    /// The line, without a line end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KnownHost {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        let is_line = (1..=MAX_KNOWN_HOST).contains(&line.len())
            && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && !line.starts_with([' ', '#']);
        if is_line { Ok(Self(line.to_owned())) } else { Err(Malformed) }
    }
}

/// A repository on a forge, as in `github.com/org/repo` or `git.example:2222/org/repo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    host: String,
    port: Option<u16>,
    path: String,
}

impl Repository {
    /// A name or IPv4 address, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of its SSH server, unless it is 22.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Without slashes around it and without `.git`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Repository {
    type Err = Malformed;

    /// Accepts one spelling only, the one that `Display` writes.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (authority, path) = text.split_once('/').ok_or(Malformed)?;
        let (host, port) = match authority.split_once(':') {
            None => (authority, None),
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| Malformed)?)),
        };
        let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~/".contains(&byte);
        let repository = Self { host: host.to_owned(), port, path: path.to_owned() };
        let is_well_formed = text.len() <= MAX_REPOSITORY
            && !host.is_empty()
            && !host.starts_with('-')
            && host.bytes().all(is_host)
            && !matches!(port, Some(0 | 22))
            && path.bytes().all(is_path)
            && path.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']))
            && !path.ends_with(".git")
            && repository.to_string() == text;
        if is_well_formed { Ok(repository) } else { Err(Malformed) }
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            None => write!(f, "{}/{}", self.host, self.path),
            Some(port) => write!(f, "{}:{port}/{}", self.host, self.path),
        }
    }
}

/// The key with which git is to fetch one repository: forges accept a deploy key for one repository only, and ssh
/// offers the first key it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitKey {
    pub repository: Repository,
    /// The public key, in SSH's encoding.
    pub key: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_one_spelling() {
        for good in ["github.com/org/repo", "git.example:2222/a/b/c.x", "10.0.0.1/srv/git/app", "h/~me/r"] {
            assert_eq!(good.parse::<Repository>().map(|parsed| parsed.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "github.com",
            "github.com/",
            "/org/repo",
            "GitHub.com/a/b",
            "h/a/../b",
            "h/a//b",
            "h/a/b/",
            "h/a b",
            "h/a\nb",
            "h/-a",
            "-h/a",
            "h/a.git",
            "h:0/a",
            "h:22/a",
            "h:022/a",
            "h:x/a",
            "h:/a",
            "h/a'b",
            "h/$(a)",
        ] {
            assert_eq!(bad.parse::<Repository>(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_known_host_is_one_line() {
        assert!("git.example ssh-ed25519 AAAA".parse::<KnownHost>().is_ok());
        for bad in ["", "a\nb", "a\tb", "# a", " a", "ä"] {
            assert_eq!(bad.parse::<KnownHost>(), Err(Malformed), "{bad:?}");
        }
    }
}
