//! Windows cannot replace a process: COMMAND is a child, and its exit code (32 bits) is ours.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exec::supervisor::Supervisor;

/// The shell, and what comes before a script. /D keeps an AutoRun from running first, /S keeps cmd from guessing which
/// quotes are its own (see `cmd /?`).
pub(super) const SHELL: (&str, &[&str]) = ("cmd.exe", &["/D", "/S", "/C"]);

/// What cmd takes for `PATHEXT` where that is not set.
const EXTENSIONS: &str = ".COM;.EXE;.BAT;.CMD";

pub(super) fn add_script(shell: &mut Command, script: &OsStr) {
    // cmd takes off the outer quotes and reads the rest as it was typed; std would put a backslash in front of quotes.
    let mut quoted = OsString::from("\"");
    quoted.push(script);
    quoted.push("\"");
    shell.raw_arg(quoted);
}

/// The file that is meant by `program`: `npm` is an `npm.cmd`, and std looks for `npm.exe` only. Where nothing is found,
/// `program` itself, for which the system then has an error.
///
/// Unlike cmd, and like PowerShell, this does not look into the working directory: what lies there must not become npm.
pub(super) fn find(program: &OsStr, path: Option<&OsStr>) -> OsString {
    let extensions = std::env::var("PATHEXT").unwrap_or_else(|_| EXTENSIONS.to_owned());
    let path = path.map(OsStr::to_owned).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let has_directory = Path::new(program).components().count() > 1;
    let places: Vec<PathBuf> = if has_directory {
        vec![PathBuf::new()]
    } else {
        std::env::split_paths(&path).filter(|place| place.is_absolute()).collect()
    };
    let names = names(program, &extensions);
    let files = places.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
    // Not its target: aliases of the Store's programs are links that only CreateProcess can follow.
    let is_there = |file: &PathBuf| std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_dir());
    files.into_iter().find(is_there).map_or_else(|| program.to_owned(), PathBuf::into_os_string)
}

/// The names under which `program` may be there, in the order of their preference.
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

/// Runs it to its end, as if this process were it.
pub(super) fn exec_replace(child: Command) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async { Supervisor::new()?.run_prepared(child).await });
    runtime.shutdown_background();
    code
}
