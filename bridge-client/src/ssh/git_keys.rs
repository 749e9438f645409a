//! Which key opens which repository: one line each in a file that `exec` writes and the ssh that it puts in front reads.
//!
//! ```text
//! github.com 22 org/repo key0.pub
//! ```

use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "git_keys";

/// The port of ssh where none is named.
pub(crate) const SSH_PORT: u16 = 22;

/// RFC 1035, section 2.3.4.
const LONGEST_HOST: usize = 253;
const LONGEST_PATH: usize = 512;

/// A repository on an SSH server, in letters that no file, shell, git or ssh takes for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    host: String,
    port: u16,
    path: String,
}

impl Repository {
    /// `path` may be written with a slash around it and with `.git` behind it. `None` if anything is unusual.
    pub(crate) fn new(host: &str, port: u16, path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let fits = is_plain(host, LONGEST_HOST, b".-_")
            && port != 0
            && path.len() <= LONGEST_PATH
            && path.split('/').all(|part| !part.starts_with('.') && is_plain(part, LONGEST_PATH, b".-_~+"));
        fits.then(|| Self { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As git is given it for HTTPS.
    pub(crate) fn https(&self) -> String {
        format!("https://{}/{}", self.host, self.path)
    }

    fn is_nearly(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port) && self.path.eq_ignore_ascii_case(&other.path)
    }
}

fn is_plain(text: &str, longest: usize, others: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// The file, read or to be written.
#[derive(Debug, Default)]
pub(crate) struct GitKeys(Vec<(Repository, String)>);

impl GitKeys {
    pub(crate) fn add(&mut self, repository: Repository, file: String) {
        self.0.push((repository, file));
    }

    /// # Errors
    /// `InvalidData` if `exec` cannot have written it, or the system's.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(directory.join(FILE))?;
        let entries: Option<Vec<_>> = text.lines().map(entry).collect();
        entries.map(Self).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn to_text(&self) -> String {
        let line = |(repository, file): &(Repository, String)| {
            format!("{} {} {} {file}\n", repository.host, repository.port, repository.path)
        };
        self.0.iter().map(line).collect()
    }

    pub(crate) fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.0.iter().map(|(repository, _)| repository)
    }

    /// Names of the keys' files. Some servers take a repository's name in any case, so that counts if nothing else fits.
    pub(crate) fn of(&self, wanted: &Repository) -> Vec<&str> {
        let files = |fits: &dyn Fn(&Repository) -> bool| -> Vec<&str> {
            self.0.iter().filter(|(own, _)| fits(own)).map(|(_, file)| file.as_str()).collect()
        };
        let exact = files(&|own| own == wanted);
        if exact.is_empty() { files(&|own| own.is_nearly(wanted)) } else { exact }
    }

    /// The repository with exactly this URL, with or without `.git`, at whatever port ssh finds it.
    pub(crate) fn at_url(&self, url: &str) -> Option<(&Repository, String)> {
        let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
        let named = Repository::new(host, SSH_PORT, path)?;
        let found = self.repositories().find(|own| own.host == named.host && own.path == named.path)?;
        Some((found, path.trim_matches('/').to_owned()))
    }
}

fn entry(line: &str) -> Option<(Repository, String)> {
    let mut words = line.split(' ');
    let (host, port, path, file) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let repository = Repository::new(host, port.parse().ok()?, path)?;
    (words.next().is_none() && is_plain(file, LONGEST_PATH, b".")).then(|| (repository, file.to_owned()))
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
            keys.add(Repository::new(host, *port, path).unwrap(), format!("key{number}.pub"));
        }
        keys
    }

    fn of(keys: &GitKeys, host: &str, port: u16, path: &str) -> Vec<String> {
        let repository = Repository::new(host, port, path).unwrap();
        keys.of(&repository).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn the_exact_repository_has_its_key_however_it_is_written() {
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
    fn a_url_is_of_a_repository_only_to_its_end() {
        let keys = keys();
        let path = |url| keys.at_url(url).map(|(found, path)| (found.port(), path));
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
        std::fs::write(directory.path().join(FILE), &written).unwrap();
        assert_eq!(GitKeys::read(directory.path()).unwrap().to_text(), written);
        for wrong in ["h 22 org/a\n", "h 22 org/a ../x\n", "h x org/a k\n", "h 22 org/a k k\n", "\n"] {
            std::fs::write(directory.path().join(FILE), wrong).unwrap();
            assert!(GitKeys::read(directory.path()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn letters_that_mean_something_elsewhere_are_refused() {
        for host in ["", "-oProxyCommand=x", "a b", "a\nb", "h'", "[::1]", "h/", &"a".repeat(254)] {
            assert!(Repository::new(host, 22, "org/a").is_none(), "{host}");
        }
        for path in [
            "", "/", ".git", "a//b", "../a", "a/./b", "-a", "a/-b", "a b", "a'b", "a\nb", "a\"", "a$(b)",
            "a;b", "ä",
        ] {
            assert!(Repository::new("h", 22, path).is_none(), "{path}");
        }
        assert!(Repository::new("h", 0, "a").is_none());
    }
}
