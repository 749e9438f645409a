//! The file that maps repositories to their deploy keys. `exec` writes it and `ssh::wrapper` reads it, one line each:
//!
//! ```text
//! github.com 22 org/repo key0.pub
//! ```

use std::io;
use std::path::Path;

use proto::agent::Repository;
use proto::limits::MAX_REPOSITORY;

/// In the private directory.
pub(crate) const FILE_NAME: &str = "git_keys";

/// The default port of ssh.
pub(crate) const SSH_PORT: u16 = 22;

/// A repository as ssh and git name it on the command line. It consists of characters that have no special meaning in the
/// file, in a shell, or for git and ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshRepository {
    host: String,
    port: u16,
    path: String,
}

impl From<&Repository> for SshRepository {
    fn from(repository: &Repository) -> Self {
        Self {
            host: repository.host().to_owned(),
            port: repository.port().unwrap_or(SSH_PORT),
            path: repository.path().to_owned(),
        }
    }
}

impl SshRepository {
    /// `path` may begin and end with slashes, and have `.git` at the end. `None` if a part has other characters.
    pub(crate) fn new(host: &str, port: u16, path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let is_valid = is_plain(host, b".-_")
            && port != 0
            && path.len() <= MAX_REPOSITORY
            && path.split('/').all(|part| !part.starts_with('.') && is_plain(part, b".-_~+"));
        is_valid.then(|| Self { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn https_url(&self) -> String {
        format!("https://{}/{}", self.host, self.path)
    }

    fn matches_ignoring_case(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port) && self.path.eq_ignore_ascii_case(&other.path)
    }
}

fn is_plain(text: &str, others: &[u8]) -> bool {
    (1..=MAX_REPOSITORY).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// The contents of the file: each repository with the name of a key's file.
#[derive(Debug, Default)]
pub(crate) struct GitKeys(Vec<(SshRepository, String)>);

impl GitKeys {
    pub(crate) fn add(&mut self, repository: SshRepository, file: String) {
        self.0.push((repository, file));
    }

    /// # Errors
    /// `InvalidData` for a line that `exec` does not write, and those of the system.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(directory.join(FILE_NAME))?;
        let entries: Option<Vec<_>> = text.lines().map(parse_line).collect();
        entries.map(Self).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn to_text(&self) -> String {
        let line = |(repository, file): &(SshRepository, String)| {
            format!("{} {} {} {file}\n", repository.host, repository.port, repository.path)
        };
        self.0.iter().map(line).collect()
    }

    pub(crate) fn repositories(&self) -> impl Iterator<Item = &SshRepository> {
        self.0.iter().map(|(repository, _)| repository)
    }

    /// Names of the files with keys for `wanted`. Some servers ignore the case of a repository's name, so other spellings
    /// count if none matches exactly.
    pub(crate) fn files_for(&self, wanted: &SshRepository) -> Vec<&str> {
        let files = |matches: &dyn Fn(&SshRepository) -> bool| -> Vec<&str> {
            self.0.iter().filter(|(own, _)| matches(own)).map(|(_, file)| file.as_str()).collect()
        };
        let exact = files(&|own| own == wanted);
        if exact.is_empty() { files(&|own| own.matches_ignoring_case(wanted)) } else { exact }
    }

    /// The repository whose HTTPS URL is exactly `url`, with or without `.git`, and its path as `url` spells it. Its SSH port
    /// does not matter.
    pub(crate) fn find_by_url(&self, url: &str) -> Option<(&SshRepository, String)> {
        let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
        let named = SshRepository::new(host, SSH_PORT, path)?;
        let found = self.repositories().find(|own| own.host == named.host && own.path == named.path)?;
        Some((found, path.trim_matches('/').to_owned()))
    }
}

fn parse_line(line: &str) -> Option<(SshRepository, String)> {
    let mut words = line.split(' ');
    let (host, port, path, file) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let repository = SshRepository::new(host, port.parse().ok()?, path)?;
    (words.next().is_none() && is_plain(file, b".")).then(|| (repository, file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> GitKeys {
        let mut keys = GitKeys::default();
        for (number, (host, port, path)) in
            [("h", 22, "org/a"), ("h", 22, "org/a2"), ("h", 2222, "org/b"), ("h", 22, "Org/A")]
                .iter()
                .enumerate()
        {
            keys.add(SshRepository::new(host, *port, path).unwrap(), format!("key{number}.pub"));
        }
        keys
    }

    fn of(keys: &GitKeys, host: &str, port: u16, path: &str) -> Vec<String> {
        let repository = SshRepository::new(host, port, path).unwrap();
        keys.files_for(&repository).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn every_spelling_of_a_repository_finds_its_key() {
        let keys = keys();
        for path in ["org/a", "/org/a", "/org/a.git", "org/a.git/"] {
            assert_eq!(of(&keys, "H", 22, path), ["key0.pub"], "{path}");
        }
        assert_eq!(of(&keys, "h", 22, "org/a2"), ["key1.pub"]);
        assert_eq!(of(&keys, "h", 22, "Org/A"), ["key3.pub"]);
        assert_eq!(of(&keys, "h", 22, "ORG/A2"), ["key1.pub"]);
        assert_eq!(of(&keys, "h", 2222, "org/b"), ["key2.pub"]);
        for (host, port, path) in
            [("h", 22, "org/b"), ("h", 2222, "org/a"), ("g", 22, "org/a"), ("h", 22, "org/a3")]
        {
            assert!(of(&keys, host, port, path).is_empty(), "{host} {port} {path}");
        }
    }

    #[test]
    fn a_longer_url_does_not_match_a_repository() {
        let keys = keys();
        let path = |url| keys.find_by_url(url).map(|(found, path)| (found.port(), path));
        assert_eq!(path("https://h/org/a"), Some((22, "org/a".into())));
        assert_eq!(path("https://H/org/a2.git"), Some((22, "org/a2.git".into())));
        assert_eq!(path("https://h/org/b/"), Some((2222, "org/b".into())));
        for url in [
            "https://h/org/a3",
            "https://h/org/a.github.io",
            "https://h/org/a/b",
            "https://h:8443/org/a",
            "https://user@h/org/a",
            "http://h/org/a",
            "https://h",
        ] {
            assert_eq!(path(url), None, "{url}");
        }
    }

    #[test]
    fn the_file_survives_a_round_trip() {
        let directory = tempfile::TempDir::new().unwrap();
        let written = keys().to_text();
        std::fs::write(directory.path().join(FILE_NAME), &written).unwrap();
        assert_eq!(GitKeys::read(directory.path()).unwrap().to_text(), written);
        for wrong in ["h 22 org/a\n", "h 22 org/a ../x\n", "h x org/a k\n", "h 22 org/a k k\n", "\n"] {
            std::fs::write(directory.path().join(FILE_NAME), wrong).unwrap();
            assert!(GitKeys::read(directory.path()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn special_characters_are_refused() {
        for host in
            ["", "-oProxyCommand=x", "a b", "a\nb", "h'", "[::1]", "h/", &"a".repeat(MAX_REPOSITORY + 1)]
        {
            assert!(SshRepository::new(host, 22, "org/a").is_none(), "{host}");
        }
        for path in [
            "", "/", ".git", "a//b", "../a", "a/./b", "-a", "a/-b", "a b", "a'b", "a\nb", "a\"", "a$(b)",
            "a;b", "ä",
        ] {
            assert!(SshRepository::new("h", 22, path).is_none(), "{path}");
        }
        assert!(SshRepository::new("h", 0, "a").is_none());
    }
}
