//! Resolves the names of files in a project file, and notes where each leads.

use std::cell::RefCell;
use std::io;
use std::path::{Component, Path, PathBuf};

use bridge_host::{Contents, MAX_KNOWN_HOSTS_FILE, NamedFile};

/// Of a CA file, in bytes.
const MAX_CA_FILE: u64 = 1 << 20;

use super::find::project_root;
use super::named_path::NamedPath;

pub(super) struct Paths {
    /// The base of relative names; canonical.
    directory: PathBuf,
    /// The root of the repository; canonical.
    root: PathBuf,
    /// The base after `~/`; canonical, so that links above it are the system's.
    home: Option<PathBuf>,
    /// Whether a name may lead through a link.
    links_allowed: bool,
    named: RefCell<Vec<NamedPath>>,
}

/// What a named file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    KnownHosts,
    /// The CA of a server.
    Ca,
    Other,
}

impl Purpose {
    /// For a file that says which servers are trusted, so that its contents are a part of the approval: the most bytes that
    /// are read of it, and what can be written in the project file instead.
    fn trusted(self) -> Option<(u64, &'static str)> {
        match self {
            Self::KnownHosts => Some((
                MAX_KNOWN_HOSTS_FILE,
                "write the keys of the hosts here, allow-host = [\"NAME=SHA256:…\"]",
            )),
            Self::Ca => {
                Some((MAX_CA_FILE, "name a file outside of the repository, with ~/ or an absolute path"))
            }
            Self::Other => None,
        }
    }
}

impl Paths {
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            root: project_root(directory),
            home: local_ipc::home_directory().map(|home| home.canonicalize().unwrap_or(home)),
            links_allowed: true,
            named: RefCell::default(),
        }
    }

    /// As [`Self::of`], for a file of which only the bytes are approved: where a link leads, and what a known_hosts or CA file of
    /// the repository holds, may change without them.
    pub(super) fn without_links(directory: &Path) -> Self {
        Self { links_allowed: false, ..Self::of(directory) }
    }

    /// All names that were resolved, in the order of the file.
    pub(super) fn into_named(self) -> Vec<NamedPath> {
        self.named.into_inner()
    }

    /// The file that `text`, the value of `key`, leads to with all links resolved. `text` is relative to the project file,
    /// or to the home directory after `~/`.
    ///
    /// A name in the repository must not lead out of it. The user has approved the name, but the file came with the
    /// repository, and the next `git pull` may make it a link to `~/.aws/credentials`. Other names may be links; where they
    /// lead is shown and recorded at the approval.
    ///
    /// # Errors
    /// A description of the problem.
    pub(super) fn resolve(&self, key: String, text: &str, purpose: Purpose) -> Result<NamedFile, String> {
        if text.is_empty() {
            return Err("empty path".to_owned());
        }
        let path = match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_), None) => return Err("no home directory".to_owned()),
            (None, _) => self.directory.join(text),
        };
        let path = without_dots(&path);
        let leads_to = if NamedFile::is_pipe(&path) {
            path.clone()
        } else {
            destination(&path).map_err(|error| format!("cannot resolve {text}: {error}"))?
        };
        let outside = !leads_to.starts_with(&self.root);
        if outside && self.is_in_repository(&path) {
            return Err(format!(
                "{text} is in the repository and leads out of it, to {}: write that path instead",
                leads_to.display()
            ));
        }
        let by_link = leads_to != path;
        if by_link && !self.links_allowed {
            return Err(format!(
                "{text} leads through a symbolic link, to {}: with --allow-config no path may; write that path instead",
                leads_to.display()
            ));
        }
        let mut file = NamedFile::resolved(&leads_to);
        let mut contents = Contents::Any;
        if let Some((most, instead)) = purpose.trusted() {
            if !self.links_allowed && (!outside || Path::new(text).is_relative() && !text.starts_with("~/")) {
                return Err(format!(
                    "{text} came with the repository, and --allow-config does not cover what it holds: {instead}"
                ));
            }
            let bytes = file.read_if_exists(most).map_err(|error| format!("cannot read {text}: {error}"))?;
            contents = Contents::of(bytes.as_deref());
            file = file.with_contents(contents);
        }
        self.named.borrow_mut().push(NamedPath {
            key,
            written: text.to_owned(),
            leads_to,
            contents,
            by_link,
            outside,
        });
        Ok(file)
    }

    /// Whether `path`, or a directory on the way to it, is in the repository once links are resolved.
    fn is_in_repository(&self, path: &Path) -> bool {
        let is_there = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&self.root));
        path.ancestors().any(is_there)
    }
}

/// `..` removes the name before it, even if that is a link: the path that is resolved is the one that was written.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}

/// `path` with all links resolved. For a file that does not exist yet (an audit log, a socket), those of its directory.
fn destination(path: &Path) -> io::Result<PathBuf> {
    match path.symlink_metadata() {
        Ok(_) => path.canonicalize(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(directory), Some(name)) => Ok(destination(directory)?.join(name)),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(paths: &Paths, text: &str) -> Result<PathBuf, String> {
        paths.resolve("key".to_owned(), text, Purpose::Other).map(|file| file.path().to_owned())
    }

    #[test]
    fn names_begin_at_the_file_and_home_is_expanded() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let paths = Paths::of(&base);
        let home = local_ipc::home_directory().unwrap().canonicalize().unwrap();
        assert_eq!(resolved(&paths, "a/./b"), Ok(base.join("a/b")));
        assert_eq!(resolved(&paths, "x/../../b"), Ok(base.parent().unwrap().join("b")));
        assert_eq!(resolved(&paths, "~/.nowhere"), Ok(home.join(".nowhere")));
        assert_eq!(resolved(&paths, "~user"), Ok(base.join("~user")));
        assert_eq!(resolved(&paths, "$HOME/x"), Ok(base.join("$HOME/x")));
        assert!(resolved(&paths, "").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_in_the_repository_leads_out_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        for name in ["repository/.git", "repository/sub", "own"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        std::fs::write(base.join("own/credentials"), "").unwrap();
        let link =
            |to: &str, at: &str| std::os::unix::fs::symlink(to, base.join("repository").join(at)).unwrap();
        link("sub", "inside");
        link("../own/credentials", "file");
        link("../own", "directory");
        link("../nowhere", "dangling");
        let paths = Paths::of(&base.join("repository/sub"));
        for inside in ["new", "../new", "../inside/new"] {
            assert!(resolved(&paths, inside).is_ok(), "{inside}");
        }
        for leads_out in ["../file", "../directory/credentials", "../directory/new", "../dangling"] {
            assert!(resolved(&paths, leads_out).is_err(), "{leads_out}");
        }
        // Nor by another name for it.
        std::os::unix::fs::symlink("repository", base.join("alias")).unwrap();
        let alias = |name: &str| resolved(&paths, base.join("alias").join(name).to_str().unwrap());
        assert!(alias("sub/new").is_ok() && alias("file").is_err() && alias("directory/new").is_err());
        // Named as what it is, it is the user's to allow.
        assert_eq!(resolved(&paths, "../../own/credentials"), Ok(base.join("own/credentials")));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_where_it_leads_and_says_how() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        for name in ["tree/sub", "own"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        std::fs::write(base.join("own/credentials"), "").unwrap();
        // An unpacked tree has no .git: only the directory of the project file counts as the repository.
        std::os::unix::fs::symlink("../own", base.join("tree/data")).unwrap();
        let paths = Paths::of(&base.join("tree/sub"));
        assert_eq!(resolved(&paths, "../data/credentials"), Ok(base.join("own/credentials")));
        assert_eq!(resolved(&paths, "file"), Ok(base.join("tree/sub/file")));
        let named = paths.into_named();
        let how: Vec<_> = named.iter().map(|path| (path.by_link, path.outside)).collect();
        assert_eq!(how, [(true, true), (false, false)]);
        let strict = Paths::without_links(&base.join("tree/sub"));
        let problem = resolved(&strict, "../data/credentials").unwrap_err();
        assert!(problem.contains("leads through a symbolic link"), "{problem}");
        assert!(resolved(&strict, "file").is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn known_hosts_of_the_repository_need_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("tree/sub")).unwrap();
        std::fs::write(base.join("known_hosts"), "").unwrap();
        let known_hosts =
            |paths: &Paths, text: &str| paths.resolve("key".to_owned(), text, Purpose::KnownHosts);
        let strict = Paths::without_links(&base.join("tree/sub"));
        for text in ["known_hosts", "../known_hosts", "../../known_hosts"] {
            assert!(known_hosts(&strict, text).unwrap_err().contains("came with the repository"), "{text}");
            let ca = strict.resolve("key".to_owned(), text, Purpose::Ca).unwrap_err();
            assert!(ca.contains("came with the repository") && !ca.contains("allow-host"), "{ca}");
        }
        let absolute = base.join("known_hosts");
        assert!(known_hosts(&strict, absolute.to_str().unwrap()).is_ok());
        let paths = Paths::of(&base.join("tree/sub"));
        known_hosts(&paths, "known_hosts").unwrap();
        known_hosts(&paths, "../../known_hosts").unwrap();
        let contents: Vec<_> = paths.into_named().iter().map(|path| path.contents).collect();
        assert_eq!(contents, [Contents::Missing, Contents::of(Some(b""))]);
    }
}
