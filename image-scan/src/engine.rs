//! An image in an engine: the engine writes the archive to a pipe, and it is searched from there, without a file.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use proto::escape;

use crate::archive::{scan_path, scan_stream};
use crate::error::ScanError;
use crate::report::{Outcome, Report};
use crate::search::{Finder, Progress};

/// Engines whose `save IMAGE` writes to standard output.
const SAVE: [&str; 3] = ["docker", "podman", "nerdctl"];
const BUILDAH: &str = "buildah";

/// The engine that has an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    program: OsString,
}

impl Engine {
    /// The engine that `command` runs: the first of its words that is one (`sudo podman build …`), or else docker.
    pub fn of_command(command: &[OsString]) -> Self {
        let engine = command.iter().find(|word| is_engine(word));
        Self { program: engine.cloned().unwrap_or_else(|| OsString::from("docker")) }
    }

    /// Scans `image`: an archive, a directory, or the name of an image that the engine has. `spawn` starts the engine.
    pub fn scan<F: Finder>(
        &self,
        finder: &F,
        image: &OsStr,
        progress: &Progress,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Outcome {
        if is_saved(image) {
            scan_path(finder, Path::new(image), progress)
        } else {
            self.scan_in_engine(finder, image, progress, spawn)
        }
    }

    fn scan_in_engine<F: Finder>(
        &self,
        finder: &F,
        image: &OsStr,
        progress: &Progress,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Outcome {
        let program = || escape(&self.program.to_string_lossy());
        let mut child = match spawn(self.command(image).stdin(Stdio::null()).stdout(Stdio::piped())) {
            Ok(child) => child,
            Err(source) => return failed(ScanError::Engine { program: program(), source }),
        };
        let ended = AtomicBool::new(false);
        let output = child.stdout.take().map(|output| EndDetector { output, ended: &ended });
        let Some(output) = output else { return failed(ScanError::NoArchive) };
        let mut outcome = scan_stream(finder, output, progress);
        if !ended.load(Ordering::Relaxed) {
            // The scan stopped early, for a reason that is in the outcome; the engine may have ended by itself meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            return outcome;
        }
        // An engine that fails truncates the archive: its failure is the cause of the scan's.
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => {
                outcome.failure = Some(ScanError::Save { program: program(), status: status.to_string() });
            }
            Err(error) => outcome.failure = Some(ScanError::read("the engine's exit status", error)),
        }
        outcome
    }

    fn command(&self, image: &OsStr) -> Command {
        let mut command = Command::new(&self.program);
        if file_name(&self.program) == BUILDAH {
            command.args(["push", "--quiet", "--"]).arg(image).arg("docker-archive:/dev/stdout");
        } else {
            command.args(["save", "--"]).arg(image);
        }
        command
    }
}

fn failed(failure: ScanError) -> Outcome {
    let report =
        Report { findings: Vec::new(), more: 0, images: 0, layers: 0, layers_elsewhere: 0, bytes: 0 };
    Outcome { report, failure: Some(failure) }
}

fn is_engine(word: &OsStr) -> bool {
    let name = file_name(word);
    SAVE.contains(&name.as_str()) || name == BUILDAH
}

fn file_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".exe").unwrap_or(&name).to_owned()
}

/// Whether `image` is a path. A directory that has the name of an image is not meant, unless it looks like an image.
fn is_saved(image: &OsStr) -> bool {
    let path = Path::new(image);
    path.is_absolute()
        || path.starts_with(".")
        || path.starts_with("..")
        || path.is_file()
        || ["index.json", "manifest.json"].iter().any(|file| path.join(file).is_file())
}

/// Records whether `output` was read to its end.
struct EndDetector<'e, R> {
    output: R,
    ended: &'e AtomicBool,
}

impl<R: Read> Read for EndDetector<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.ended.store(true, Ordering::Relaxed);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(command: &[&str]) -> String {
        let words: Vec<OsString> = command.iter().map(OsString::from).collect();
        Engine::of_command(&words).program.into_string().unwrap()
    }

    #[test]
    fn the_engine_is_taken_from_the_command() {
        assert_eq!(engine(&["docker", "build", "."]), "docker");
        assert_eq!(engine(&["sudo", "-E", "/usr/bin/podman", "build", "."]), "/usr/bin/podman");
        assert_eq!(engine(&["buildah", "bud"]), "buildah");
        assert_eq!(engine(&["make", "image"]), "docker");
    }

    struct Nothing;

    impl Finder for Nothing {
        type Search<'f> = Self;

        fn search(&self) -> Self {
            Self
        }
    }

    impl crate::Search for Nothing {
        fn feed(&mut self, _: &[u8]) {}

        fn matches(self) -> Vec<crate::Match> {
            Vec::new()
        }
    }

    /// Scans `app` with an engine that is the shell script `script`.
    #[cfg(unix)]
    fn scan_with(script: &str) -> Outcome {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let engine = directory.path().join("podman");
        std::fs::write(&engine, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
        let engine = Engine::of_command(&["sudo".into(), engine.into_os_string()]);
        engine.scan(&Nothing, OsStr::new("app"), &Progress::default(), Command::spawn)
    }

    #[cfg(unix)]
    #[test]
    fn a_failed_engine_is_the_cause_and_an_endless_one_is_ended() {
        let failure = |script| scan_with(script).failure.unwrap();
        assert!(matches!(failure("exit 3"), ScanError::Save { status, .. } if status.contains('3')));
        assert!(matches!(failure("exec yes"), ScanError::NoArchive));
        let unknown = Engine { program: "/nonexistent/docker".into() };
        let outcome = unknown.scan(&Nothing, OsStr::new("app"), &Progress::default(), Command::spawn);
        assert!(matches!(outcome.failure, Some(ScanError::Engine { .. })));
    }

    #[test]
    fn an_argument_that_looks_like_a_path_is_one() {
        assert!(
            is_saved(OsStr::new("/tmp/x.tar")) && is_saved(OsStr::new("./x")) && is_saved(OsStr::new("../x"))
        );
        assert!(!is_saved(OsStr::new("app:latest")) && !is_saved(OsStr::new("src")));
    }
}
