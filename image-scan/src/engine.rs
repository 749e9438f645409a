//! An image in an engine: the engine writes the archive to a pipe, and it is searched from there, without a file.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use proto::escape;

use crate::archive::scan_stream;
use crate::error::ScanError;
use crate::report::{Outcome, Report};
use crate::search::{Finder, Progress};

/// Engines that have no `save` write an archive by `push`.
const BUILDAH: &str = "buildah";

/// The engine that has an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    program: PathBuf,
}

impl Engine {
    /// The engine of this program, which is started as it is, without a search in `PATH` if it is absolute.
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Scans the image that the engine has by the name `image`. `spawn` starts the engine.
    pub fn scan<F: Finder>(
        &self,
        finder: &F,
        image: &str,
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

    fn command(&self, image: &str) -> Command {
        let mut command = Command::new(&self.program);
        if program_name(self.program.as_os_str()) == BUILDAH {
            command.args(["push", "--quiet", "--"]).arg(image).arg("docker-archive:/dev/stdout");
        } else {
            command.args(["save", "--"]).arg(image);
        }
        command
    }
}

fn failed(failure: ScanError) -> Outcome {
    Outcome { report: Report::default(), failure: Some(failure) }
}

/// The name of a program: the last part of its path, on Windows in lower case and without `.exe`.
pub fn program_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    if cfg!(windows) {
        let name = name.to_ascii_lowercase();
        return name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name);
    }
    name.into_owned()
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
        Engine::new(engine).scan(&Nothing, "app", &Progress::default(), Command::spawn)
    }

    #[cfg(unix)]
    #[test]
    fn a_failed_engine_is_the_cause_and_an_endless_one_is_ended() {
        let failure = |script| scan_with(script).failure.unwrap();
        assert!(matches!(failure("exit 3"), ScanError::Save { status, .. } if status.contains('3')));
        assert!(matches!(failure("exec yes"), ScanError::NoArchive));
        let unknown = Engine::new("/nonexistent/docker".into());
        let outcome = unknown.scan(&Nothing, "app", &Progress::default(), Command::spawn);
        assert!(matches!(outcome.failure, Some(ScanError::Engine { .. })));
    }
}
