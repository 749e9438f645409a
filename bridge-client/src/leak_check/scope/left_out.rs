//! What a builder leaves out of the image, although it is in no mount.
//!
//! kaniko runs in the container whose root it makes the image of. It leaves out its own directory and a few more: the
//! `defaultIgnoreList` of its `pkg/util/fs_util.go`, and what the options `--ignore-path` and `--ignore-var-run` of the
//! executor say. Tools that have kaniko as a library add directories of their own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What a builder leaves out. Empty for most.
#[derive(Debug, Default)]
pub(in crate::leak_check) struct LeftOut {
    builder: &'static str,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    directory: PathBuf,
    name: String,
    /// Whether longer names are left out too.
    is_prefix: bool,
}

/// A builder by the directory that only it has.
#[cfg(target_os = "linux")]
const BUILDERS: [(&str, &str); 3] =
    [("/kaniko", "kaniko"), ("/.envbuilder", "envbuilder"), ("/.dockerless", "dockerless")];

/// Directories of the tools that have kaniko as a library.
const DIRECTORIES: [(&str, &str); 3] =
    [("envbuilder", "/.envbuilder"), ("dockerless", "/.dockerless"), ("dockerless", "/workspaces")];

/// Processes above this one that are looked at.
#[cfg(target_os = "linux")]
const MAX_ANCESTORS: usize = 32;

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "these builders are for Linux"))]
impl LeftOut {
    /// What the builder of this process leaves out.
    pub(in crate::leak_check) fn of_builder() -> Self {
        #[cfg(target_os = "linux")]
        {
            let is_there = |path: &str| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            let Some((_, builder)) = BUILDERS.into_iter().find(|(path, _)| is_there(path)) else {
                return Self::default();
            };
            Self::of(builder, &executor_arguments().unwrap_or_default())
        }
        #[cfg(not(target_os = "linux"))]
        Self::default()
    }

    /// What `builder` leaves out if it was started with `arguments`.
    fn of(builder: &'static str, arguments: &[String]) -> Self {
        let mut left_out = Self { builder, entries: Vec::new() };
        let (mut directory, mut with_var_run) = ("/kaniko", false);
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            let (name, value) =
                argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
            match name {
                "--ignore-path" => left_out.add(value.or_else(|| rest.next()).unwrap_or_default()),
                "--kaniko-dir" => directory = value.or_else(|| rest.next()).unwrap_or(directory),
                // A value of an option without an argument only follows after `=`.
                "--ignore-var-run" | "--whitelist-var-run" => {
                    with_var_run =
                        value.is_some_and(|value| ["false", "f", "0"].contains(&&*value.to_lowercase()));
                }
                _ => {}
            }
        }
        for path in ["/kaniko", directory, "/etc/mtab"] {
            left_out.add(path);
        }
        if !with_var_run {
            left_out.add("/var/run");
        }
        left_out.entries.push(Entry {
            directory: "/tmp".into(),
            name: "apt-key-gpghome".to_owned(),
            is_prefix: true,
        });
        DIRECTORIES.iter().filter(|(of, _)| *of == builder).for_each(|(_, path)| left_out.add(path));
        left_out
    }

    fn add(&mut self, path: &str) {
        let path = Path::new(path);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
        // Anything else is left out nowhere.
        if path.is_absolute() {
            let name = name.to_string_lossy().into_owned();
            self.entries.push(Entry { directory: directory.to_owned(), name, is_prefix: false });
        }
    }

    pub(in crate::leak_check) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its name.
    pub(in crate::leak_check) fn builder(&self) -> &'static str {
        self.builder
    }

    /// Whether `name` in `directory` is left out, and all that is below it.
    pub(in crate::leak_check) fn contains(&self, directory: &Path, name: &[u8]) -> bool {
        self.entries.iter().any(|entry| {
            let is_name =
                name == entry.name.as_bytes() || entry.is_prefix && name.starts_with(entry.name.as_bytes());
            is_name && directory == entry.directory
        })
    }

    /// Whether `path` or something above it is left out.
    pub(in crate::leak_check) fn covers(&self, path: &Path) -> bool {
        path.ancestors().any(|path| {
            let name = path.file_name().map(OsStr::as_encoded_bytes);
            path.parent().zip(name).is_some_and(|(directory, name)| self.contains(directory, name))
        })
    }
}

/// The arguments of the nearest process above this one that is kaniko's executor.
#[cfg(target_os = "linux")]
fn executor_arguments() -> Option<Vec<String>> {
    let mut process = "self".to_owned();
    for _ in 0..MAX_ANCESTORS {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        process = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().to_owned();
        let command_line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
        let mut arguments =
            command_line.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let program = arguments.next()?;
        if Path::new(&program).file_name() == Some(OsStr::new("executor")) {
            return Some(arguments.collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> LeftOut {
        LeftOut::of("kaniko", &arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_list_of_kaniko_is_left_out() {
        let left_out = of(&["--dockerfile=Dockerfile"]);
        for path in ["/kaniko", "/kaniko/a/b", "/var/run/x", "/etc/mtab", "/tmp/apt-key-gpghome.Xy/f"] {
            assert!(left_out.covers(Path::new(path)), "{path}");
        }
        for path in
            ["/", "/kaniko2", "/run/x", "/var", "/var/running", "/etc", "/tmp/x", "/app/kaniko", "kaniko"]
        {
            assert!(!left_out.covers(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn options_of_the_executor_count() {
        let left_out = of(&[
            "--ignore-path=/cache/",
            "--ignore-path",
            "/opt/x",
            "--ignore-var-run=false",
            "--kaniko-dir",
            "/k",
            "--cache",
        ]);
        for path in ["/cache/f", "/opt/x", "/k/f", "/kaniko/f"] {
            assert!(left_out.covers(Path::new(path)), "{path}");
        }
        assert!(!left_out.covers(Path::new("/var/run/f")));
        assert!(of(&["--ignore-var-run", "--ignore-path"]).covers(Path::new("/var/run/f")));
        assert!(!of(&["--ignore-path=/", "--ignore-path="]).covers(Path::new("/app")));
    }
}
