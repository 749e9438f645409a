//! Which engine has the image of `run --scan`: the program of COMMAND itself, or that of `--engine`.
//!
//! Nothing else is guessed. A word `docker` among the arguments of `make` or `sudo` may be anything, such as a program of the
//! repository, and the engine runs with all rights of the user.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use bridge_host::find_program;
use image_scan::Engine;
use proto::escape;

use crate::usage::UsageError;

const OPTION: &str = "--engine";
/// Engines whose `save` (Buildah: `push`) is known.
const KNOWN: [&str; 4] = ["docker", "podman", "nerdctl", "buildah"];

/// The engine of `--engine PROGRAM`.
///
/// # Errors
/// [`UsageError`] if it is neither a name that PATH has, nor an absolute path.
pub(crate) fn named(program: &OsStr) -> Result<Engine, UsageError> {
    locate(program).map(Engine::new).map_err(|problem| UsageError::option(OPTION, problem))
}

/// The engine of COMMAND.
///
/// # Errors
/// [`UsageError`] if its program is not a known engine, or has options of its own, which may select another store of images.
pub(crate) fn of_command(command: &[OsString]) -> Result<Engine, UsageError> {
    let give = "add --engine with the program that has the image (docker, podman, nerdctl or buildah), or have COMMAND save \
                the image, and name the file, which begins with ./, ../ or /";
    let wrong = |problem: String| UsageError::option("--scan", format!("{problem}: {give}"));
    let program = command.first().map(OsString::as_os_str).unwrap_or_default();
    let shown = escape(&program.to_string_lossy());
    if !KNOWN.contains(&image_scan::program_name(program).as_str()) {
        return Err(wrong(format!("it is not known which engine has the image, as COMMAND is {shown}")));
    }
    // `docker --host …`, `podman --root …`: the image may be elsewhere than where `save` without it looks.
    if command.get(1).is_some_and(|argument| argument.as_encoded_bytes().starts_with(b"-")) {
        return Err(wrong(format!(
            "options of {shown} itself, before its command, are not known to be right for saving"
        )));
    }
    locate(program).map(Engine::new).map_err(wrong)
}

fn locate(program: &OsStr) -> Result<std::path::PathBuf, String> {
    let path = Path::new(program);
    let shown = || escape(&program.to_string_lossy());
    let is_name = path.file_name() == Some(program);
    if path.is_absolute() {
        Ok(path.to_owned())
    } else if is_name {
        find_program(program).ok_or_else(|| {
            format!("no program {} in PATH (its relative directories are not searched)", shown())
        })
    } else {
        Err(format!("{} is a relative path, which may lead into a repository", shown()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &[&str]) -> Result<Engine, String> {
        let words: Vec<OsString> = command.iter().map(OsString::from).collect();
        of_command(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_program_of_command_is_an_engine() {
        for command in [
            &["make", "docker"][..],
            &["sudo", "docker", "build", "."],
            &["sh", "-c", "docker build ."],
            &["env", "docker", "build"],
            &["docker-compose", "build"],
            &["/usr/bin/sudo", "/usr/bin/docker", "build"],
            &["./docker", "build"],
            &["ci/podman", "build"],
            &["docker", "--host", "tcp://h", "build"],
            &["podman", "--root=/x", "build"],
            &[],
        ] {
            let problem = of(command).unwrap_err();
            assert!(problem.starts_with("invalid --scan: ") && problem.contains("add --engine"), "{problem}");
        }
        #[cfg(unix)]
        assert_eq!(of(&["/opt/podman", "build"]), Ok(Engine::new("/opt/podman".into())));
    }

    #[test]
    fn a_named_engine_is_in_path_or_absolute() {
        for wrong in ["./docker", "ci/docker", "../docker", "", "no-such-engine-anywhere"] {
            assert!(named(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
