//! The harness of the tests: it starts the real binary as a user does, and waits for its output.
//!
//! Nothing here sleeps. Every wait is for an event (a line, the end of a stream or of a process) and has a timeout,
//! after which the test fails and shows the output so far.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

pub mod agent;
pub mod git_server;
pub mod https;
mod nginx;
mod process;
pub mod project;
pub mod registries;
pub mod require;
mod signals;
pub mod ssh;

pub use process::*;

/// The program that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_secrets-bridge");

/// The timeout of every wait: far longer than anything takes, so that a busy machine fails no test.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A scratch directory: home and working directory of the programs that a test starts. Their temporary directory is
/// next to it, because the leak check of one test must not find the files of another.
pub struct Home {
    scratch: TempDir,
    home: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        signals::reset_in_children();
        let scratch = TempDir::new().unwrap();
        let home = scratch.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::create_dir(scratch.path().join("tmp")).unwrap();
        Self { scratch, home }
    }

    /// The path of `name`, which need not exist.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Writes a file with `contents`.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// The contents of the file `name`.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `secrets-bridge ARGS` with an empty stdin; of the developer's environment it gets only PATH.
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.program(BINARY, args)
    }

    /// As [`Self::command`], for another program.
    pub fn program(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("TMPDIR", self.scratch.path().join("tmp"))
            .current_dir(&self.home)
            .stdin(Stdio::null());
        command
    }

    /// `serve ARGS`, at a free port of loopback unless ARGS have `--listen`.
    pub fn serve(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut command = self.command(["serve"]);
        if !args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(args);
        command
    }
}

/// A running `serve`. It is killed when this is dropped.
pub struct Bridge {
    pub home: Home,
    /// The bridge conf that it printed.
    pub conf: String,
    pub process: Process,
}

impl Bridge {
    /// Starts `serve ARGS` in a home of its own, and waits for its conf.
    pub fn serve(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::serve_in(Home::new(), args)
    }

    /// Starts `serve ARGS` in `home`, and waits for its conf.
    pub fn serve_in(home: Home, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let command = home.serve(args);
        Self::start(home, command)
    }

    /// Starts any `command` of `home` that prints a conf and keeps running.
    pub fn start(home: Home, mut command: Command) -> Self {
        let process = command.start();
        let conf = process.prints_line();
        Self { home, conf, process }
    }

    /// `secrets-bridge ARGS` with the conf in `BRIDGE_CONF`.
    pub fn client(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.home.command(args);
        command.env("BRIDGE_CONF", &self.conf);
        command
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        let line = self.process.says("the bridge listens on port ");
        let (_, rest) = line.split_once("on port ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    /// The address at which it listens, if that is loopback.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port()).into()
    }

    /// Kills it without a chance to clean up, and waits for its end.
    pub fn sigkill(&self) {
        self.process.signal(Signal::KILL);
        self.process.exits();
    }

    /// Ends it by SIGTERM, and returns all its output.
    pub fn end(self) -> Outcome {
        self.process.signal(Signal::TERM);
        self.process.ends()
    }
}

/// The permission bits of `path`.
pub fn mode(path: impl AsRef<Path>) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().mode() & 0o7777
}
