//! Starts programs, and turns their exit status into errors.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write as _, pipe, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Result, While, failure};

/// Announces a step on stderr.
pub(crate) fn step(text: impl std::fmt::Display) {
    eprintln!("==> {text}");
}

/// Finds `program` in PATH or, for an ordinary user, whose PATH lacks them, in the sbin directories.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].into_iter().filter(|_| !is_root()).map(PathBuf::from);
    env::split_paths(&path).chain(sbin).map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// How this process can run programs as root.
#[derive(Clone, Copy)]
pub(crate) enum Root {
    /// It runs as root.
    Already,
    /// Through sudo, without a password.
    Sudo,
}

impl Root {
    pub(crate) fn available() -> Option<Self> {
        if Run::new("id").arg("-u").text().is_ok_and(|uid| uid.trim() == "0") {
            return Some(Self::Already);
        }
        Run::new("sudo").args(["-n", "true"]).succeeds().then_some(Self::Sudo)
    }

    /// `program`, run as root. sudo drops environment variables: pass them with `env NAME=VALUE`.
    pub(crate) fn run(self, program: impl AsRef<OsStr>) -> Run {
        match self {
            Self::Already => Run::new(program),
            Self::Sudo => Run::new("sudo").arg("-n").arg(program),
        }
    }
}

/// A program to start, with its arguments and environment.
pub(crate) struct Run(Command);

impl Run {
    /// Standard input is empty unless [`Run::input`] sets it: no program here may wait for a person.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn envs(mut self, vars: &[(&'static str, std::ffi::OsString)]) -> Self {
        self.0.envs(vars.iter().map(|(name, value)| (name, value)));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Starts with an empty environment; [`Run::env`] adds to it.
    pub(crate) fn clean_env(mut self) -> Self {
        self.0.env_clear();
        self
    }

    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    pub(crate) fn input(mut self, input: impl Into<Stdio>) -> Self {
        self.0.stdin(input);
        self
    }

    pub(crate) fn output(mut self, output: impl Into<Stdio>) -> Self {
        self.0.stdout(output);
        self
    }

    pub(crate) fn errors(mut self, errors: impl Into<Stdio>) -> Self {
        self.0.stderr(errors);
        self
    }

    /// Redirects stdout and stderr to `file`.
    pub(crate) fn log(mut self, file: &Path) -> Result<Self> {
        let log = File::create(file).while_doing(format_args!("write {}", file.display()))?;
        let twin = log.try_clone().while_doing(format_args!("write {}", file.display()))?;
        self.0.stdout(log).stderr(twin);
        Ok(self)
    }

    /// The command line, for messages.
    fn shown(&self) -> String {
        let mut text = self.0.get_program().to_string_lossy().into_owned();
        for arg in self.0.get_args() {
            let _ = write!(text, " {}", arg.to_string_lossy());
        }
        text
    }

    pub(crate) fn spawn(mut self) -> Result<Child> {
        let shown = self.shown();
        self.0.spawn().while_doing(format_args!("start `{shown}`"))
    }

    /// Whether it succeeds. Its output is discarded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Runs it with our stdout and stderr.
    pub(crate) fn live(mut self) -> Result<()> {
        let shown = self.shown();
        let status = self.0.status().while_doing(format_args!("start `{shown}`"))?;
        if status.success() { Ok(()) } else { Err(failure!("`{shown}` failed: {status}")) }
    }

    /// Its output, as text. If it fails, the error contains its stderr.
    pub(crate) fn text(mut self) -> Result<String> {
        let shown = self.shown();
        let output = self.0.output().while_doing(format_args!("start `{shown}`"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut output_text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output_text.is_empty() {
            output_text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        }
        Err(failure!("`{shown}` failed: {}\n{output_text}", output.status))
    }

    /// Writes its output to `file`. Its stderr is ours.
    pub(crate) fn write_to(mut self, file: &Path) -> Result<()> {
        let output = File::create(file).while_doing(format_args!("write {}", file.display()))?;
        self.0.stdout(output);
        self.live()
    }

    /// Kills it when it takes longer than `limit`. Its output is discarded.
    pub(crate) fn within(mut self, limit: Duration) -> Result<()> {
        let shown = self.shown();
        self.0.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = self.0.spawn().while_doing(format_args!("start `{shown}`"))?;
        let deadline = Instant::now() + limit;
        loop {
            match child.try_wait().while_doing(format_args!("wait for `{shown}`"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(failure!("`{shown}` failed: {status}")),
                None if Instant::now() > deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failure!("`{shown}` took longer than {} s", limit.as_secs()));
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Shows its stdout and stderr as they come, and passes each line, without colours, to `read`.
    ///
    /// One pipe for both keeps their order, which tells to which test target a result belongs.
    pub(crate) fn watch(mut self, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
        let shown = self.shown();
        let (reader, writer) = pipe().while_doing("create a pipe")?;
        let twin = writer.try_clone().while_doing("create a pipe")?;
        if stderr().is_terminal() {
            self.0.env("CARGO_TERM_COLOR", "always");
        }
        let mut child =
            self.0.stdout(writer).stderr(twin).spawn().while_doing(format_args!("start `{shown}`"))?;
        // The command still has the writing ends: without this the pipe would never end.
        drop(self);

        for line in BufReader::new(reader).split(b'\n') {
            let line = line.while_doing(format_args!("read the output of `{shown}`"))?;
            let mut out = stdout().lock();
            let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
            read(&without_colours(&String::from_utf8_lossy(&line)));
        }
        child.wait().while_doing(format_args!("wait for `{shown}`"))
    }
}

/// `line` without the escape sequences that set colours (`ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed_from_a_line() {
        assert_eq!(
            without_colours("test result: \x1b[32mok\x1b(B\x1b[m. 5 passed"),
            "test result: ok\x1b(B. 5 passed"
        );
        assert_eq!(without_colours("plain"), "plain");
    }
}
