//! A project with its project file, and a terminal at which a test types.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Home, LIMIT, Start as _};

pub const NAME: &str = "secrets-bridge.toml";

/// `home/project`, a repository with the directories `sub/deep`.
pub struct Project {
    pub home: Home,
}

impl Project {
    /// With this project file.
    pub fn with(text: &str) -> Self {
        let project = Self::without();
        project.write(text);
        project
    }

    pub fn without() -> Self {
        let home = Home::new();
        for directory in ["project/.git", "project/sub/deep"] {
            fs::create_dir_all(home.path(directory)).unwrap();
        }
        set_mode(home.path("project"), 0o755);
        Self { home }
    }

    pub fn file(&self) -> PathBuf {
        self.home.path("project").join(NAME)
    }

    pub fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        set_mode(self.file(), 0o644);
    }

    /// `secrets-bridge ARGS` in the project.
    pub fn command<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.home.command(args);
        command.current_dir(self.home.path("project"));
        command
    }

    /// `run OPTIONS -- sh -c SCRIPT` in the project; the program itself is `$SB` there.
    pub fn run(&self, options: &[&str], script: &str) -> Command {
        let mut command = self.command([&["run"], options, &["--", "sh", "-c", script]].concat());
        command.env("SB", crate::support::BINARY);
        command
    }

    /// The SHA-256 of the file, by `sha256sum`.
    pub fn sha256(&self) -> String {
        let outcome = self.home.program("sha256sum", [self.file()]).outcome().succeeds();
        outcome.text().split(' ').next().unwrap().to_owned()
    }

    /// Approves the file, as a person does: `allow` at a terminal.
    pub fn allow(&self) {
        let mut terminal = Terminal::start(self.command(["allow"]));
        terminal.shows("Type yes");
        terminal.types("yes\n");
        assert_eq!(terminal.ends().0, Some(0));
    }
}

pub fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A command whose standard input and error are a terminal.
pub struct Terminal {
    controller: File,
    command: Child,
    shown: String,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let device = PathBuf::from(std::ffi::OsString::from_vec(
            ptsname(&controller, Vec::new()).unwrap().into_bytes(),
        ));
        // It must not become the test's own terminal, which would end it with the terminal.
        let noctty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let device = OpenOptions::new().read(true).write(true).custom_flags(noctty).open(device).unwrap();
        let stdin = Stdio::from(device.try_clone().unwrap());
        let command = command.stdin(stdin).stderr(device).stdout(Stdio::null()).spawn().unwrap();
        Self { controller: controller.into(), command, shown: String::new() }
    }

    /// Waits until `text` has been shown.
    pub fn shows(&mut self, text: &str) {
        while !self.shown.contains(text) {
            assert!(self.reads(), "it ended without {text:?}: {}", self.shown);
        }
    }

    pub fn types(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit code, and all that was shown.
    pub fn ends(mut self) -> (Option<i32>, String) {
        while self.reads() {}
        (self.command.wait().unwrap().code(), std::mem::take(&mut self.shown))
    }

    /// Reads once; `false` if no process has the terminal open any more (EIO on Linux).
    fn reads(&mut self) -> bool {
        let deadline = Instant::now() + LIMIT;
        let mut wanted = [PollFd::new(&self.controller, PollFlags::IN)];
        let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        poll(&mut wanted, Some(&limit)).unwrap();
        assert!(deadline.duration_since(Instant::now()) > Duration::ZERO, "nothing came: {}", self.shown);
        let mut bytes = [0; 4096];
        match self.controller.read(&mut bytes) {
            Ok(length @ 1..) => {
                self.shown += &String::from_utf8_lossy(bytes.get(..length).unwrap());
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The command may have ended already.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}
