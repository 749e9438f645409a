//! Where a program is that is started by its name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The program `name` in `PATH`. Directories in `PATH` that are empty or relative are not searched: they would lead into the
/// working directory, which may be a clone of someone else's repository.
pub fn find_program(name: &OsStr) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH")?, name)
}

fn find_in(path: &OsStr, name: &OsStr) -> Option<PathBuf> {
    if name.is_empty() || Path::new(name).file_name() != Some(name) {
        return None;
    }
    std::env::split_paths(path).filter(|directory| directory.is_absolute()).find_map(|directory| {
        let program = directory.join(name);
        if is_executable(&program) {
            return Some(program);
        }
        if !cfg!(windows) {
            return None;
        }
        // Only programs: Windows would start a batch file by the command line of cmd.exe, with other quoting.
        let mut with_extension = program.into_os_string();
        with_extension.push(".exe");
        Some(PathBuf::from(with_extension)).filter(|program| is_executable(program))
    })
}

#[cfg(unix)]
fn is_executable(program: &Path) -> bool {
    program.is_file() && rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(windows)]
fn is_executable(program: &Path) -> bool {
    program.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe")) && program.is_file()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn relative_and_empty_directories_of_path_are_not_searched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, mode) in [("a/tool", 0o644), ("b/tool", 0o755), ("c/tool", 0o755)] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let find = |path: String| find_in(OsStr::new(&path), OsStr::new("tool"));
        let base = directory.path().display();
        assert_eq!(find(format!("{base}/none:{base}/a:{base}/b:{base}/c")), Some(at("b/tool")));
        // Relative to the working directory, these exist.
        let here = std::env::current_dir().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let relative = format!("{up}{}", at("b").strip_prefix("/").unwrap().display());
        assert!(Path::new(&relative).join("tool").is_file());
        assert_eq!(find(format!("{relative}::.:{base}/c")), Some(at("c/tool")));
        assert_eq!(find(relative), None);
        for name in ["", "b/tool", "./tool", "..", "/bin/sh"] {
            assert_eq!(find_in(OsStr::new(&format!("{base}:/bin")), OsStr::new(name)), None, "{name}");
        }
    }
}
