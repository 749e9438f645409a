//! Resolves the names of files in a project file.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::find::project_root;

pub(super) struct Paths {
    /// The base of relative names; canonical.
    directory: PathBuf,
    /// The root of the repository; canonical.
    root: PathBuf,
}

impl Paths {
    pub(super) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), root: project_root(directory) }
    }

    /// The absolute path that `text` names: relative to the project file, or to the home directory after `~/`.
    ///
    /// A name in the repository must not lead out of it. The user has approved the name, but the file came with the
    /// repository, and the next `git pull` may make it a link to `~/.aws/credentials`. Outside, links are the user's own.
    ///
    /// # Errors
    /// A description of the problem.
    pub(super) fn resolve(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("empty path".to_owned());
        }
        let path = match text.strip_prefix("~/") {
            Some(rest) => std::env::home_dir().ok_or("no home directory")?.join(rest),
            None => self.directory.join(text),
        };
        let path = without_dots(&path);
        if self.is_in_repository(&path) {
            let leads_to = destination(&path).map_err(|error| format!("cannot resolve {text}: {error}"))?;
            if !leads_to.starts_with(&self.root) {
                return Err(format!(
                    "{text} is in the repository and leads out of it, to {}: write that path instead",
                    leads_to.display()
                ));
            }
        }
        Ok(path)
    }

    /// Whether `path`, or a directory on the way to it, is in the repository once links are resolved.
    fn is_in_repository(&self, path: &Path) -> bool {
        let is_there = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&self.root));
        path.ancestors().any(is_there)
    }
}

/// `..` removes the name before it, even if that is a link: the path that is read is the one that was shown.
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

    #[test]
    fn names_begin_at_the_file_and_home_is_expanded() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let paths = Paths::of(&base);
        assert_eq!(paths.resolve("a/./b"), Ok(base.join("a/b")));
        assert_eq!(paths.resolve("x/../../b"), Ok(base.parent().unwrap().join("b")));
        assert_eq!(paths.resolve("~/.netrc"), Ok(std::env::home_dir().unwrap().join(".netrc")));
        assert_eq!(paths.resolve("~user"), Ok(base.join("~user")));
        assert_eq!(paths.resolve("$HOME/x"), Ok(base.join("$HOME/x")));
        assert!(paths.resolve("").is_err());
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
            assert!(paths.resolve(inside).is_ok(), "{inside}");
        }
        for leads_out in ["../file", "../directory/credentials", "../directory/new", "../dangling"] {
            assert!(paths.resolve(leads_out).is_err(), "{leads_out}");
        }
        // Nor by another name for it.
        std::os::unix::fs::symlink("repository", base.join("alias")).unwrap();
        let alias = |name: &str| paths.resolve(base.join("alias").join(name).to_str().unwrap());
        assert!(alias("sub/new").is_ok() && alias("file").is_err() && alias("directory/new").is_err());
        // Named as what it is, it is the user's to allow.
        assert_eq!(paths.resolve("../../own/credentials"), Ok(base.join("own/credentials")));
    }
}
