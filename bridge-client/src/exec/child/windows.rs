//! Runs COMMAND as a child, and returns its exit code (32 bits): Windows cannot replace a process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exec::supervisor::Supervisor;

/// The shell, and its arguments before a script. With /D no AutoRun command runs first. With /S cmd does not guess which quotes
/// are its own (see `cmd /?`).
pub(super) const SHELL: (&str, &[&str]) = ("cmd.exe", &["/D", "/S", "/C"]);

/// The default of cmd where `PATHEXT` is not set.
const DEFAULT_PATHEXT: &str = ".COM;.EXE;.BAT;.CMD";

pub(super) fn add_script(shell: &mut Command, script: &OsStr) {
    // cmd removes the outer quotes and reads the rest as it was typed. std would put backslashes in front of quotes.
    let mut quoted = OsString::from("\"");
    quoted.push(script);
    quoted.push("\"");
    shell.raw_arg(quoted);
}

/// The file that `program` stands for: `npm` is `npm.cmd`, but std looks only for `npm.exe`. If there is none, `program`
/// itself, so that the system reports the error.
///
/// Like PowerShell and unlike cmd, this does not search the working directory: a file in it must not become npm.
pub(super) fn find(program: &OsStr, path: Option<&OsStr>) -> OsString {
    let extensions = std::env::var("PATHEXT").unwrap_or_else(|_| DEFAULT_PATHEXT.to_owned());
    let path = path.map(OsStr::to_owned).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let has_directory = Path::new(program).components().count() > 1;
    let places: Vec<PathBuf> = if has_directory {
        vec![PathBuf::new()]
    } else {
        std::env::split_paths(&path).filter(|place| place.is_absolute()).collect()
    };
    let names = names(program, &extensions);
    let files = places.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
    // Does not follow links: aliases of programs from the Store are links that only CreateProcess can follow.
    let is_there = |file: &PathBuf| std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_dir());
    files.into_iter().find(is_there).map_or_else(|| program.to_owned(), PathBuf::into_os_string)
}

/// The file names that `program` may stand for, in the order of preference.
fn names(program: &OsStr, extensions: &str) -> Vec<OsString> {
    let extensions: Vec<&str> =
        extensions.split(';').filter(|extension| extension.len() > 1 && extension.starts_with('.')).collect();
    let own = Path::new(program).extension().unwrap_or_default();
    let is_named = |extension: &&str| own.eq_ignore_ascii_case(extension.trim_start_matches('.'));
    let with = |extension: &&str| {
        let mut name = program.to_owned();
        name.push(extension);
        name
    };
    let exact = extensions.iter().any(|extension| is_named(&extension)).then(|| program.to_owned());
    exact.into_iter().chain(extensions.iter().map(with)).collect()
}

/// Runs COMMAND to its end.
pub(super) fn exec_replace(child: Command) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async { Supervisor::new()?.run_prepared(child).await });
    runtime.shutdown_background();
    code
}
