//! The program for Windows in tests, under wine, which shares loopback and the file system with the tests.

use std::ffi::OsStr;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::{Bridge, Home};

/// `secrets-bridge.exe ARGS` in `home`.
pub fn exe(home: &Home, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = home.program(setting("SECRETS_BRIDGE_TEST_WINE"), [program()]);
    command.args(args);
    for name in ["WINEPREFIX", "WINEDEBUG", "WINEDLLOVERRIDES"] {
        command.env(name, setting(name));
    }
    command
}

/// As [`exe`], with the conf of `bridge` in `BRIDGE_CONF`.
pub fn client(bridge: &Bridge, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = exe(&bridge.home, args);
    command.env("BRIDGE_CONF", &bridge.conf);
    command
}

/// `secrets-bridge.exe exec ARGS`, as [`client`]. Secrets in it should be shorter than `LEAK_MIN` (8 bytes), or `--leaks=off`
/// be among `args`: the leak check searches drive C and that of the working directory, and under wine drive Z is all of this
/// machine.
pub fn exec(bridge: &Bridge, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = client(bridge, ["exec"]);
    command.args(args);
    command
}

/// `relay.exe ARGS` (local-ipc/examples/relay.rs) in `home`.
pub fn relay(home: &Home, args: &[&str]) -> Command {
    let mut command = home.program(setting("SECRETS_BRIDGE_TEST_WINE"), [relay_program()]);
    command.args(args);
    for name in ["WINEPREFIX", "WINEDEBUG", "WINEDLLOVERRIDES"] {
        command.env(name, setting(name));
    }
    command
}

/// The Windows path of `relay.exe`.
pub fn relay_path() -> String {
    path(&relay_program())
}

fn program() -> PathBuf {
    setting("SECRETS_BRIDGE_TEST_EXE").into()
}

fn relay_program() -> PathBuf {
    program().with_file_name("examples").join("relay.exe")
}

/// The Windows path of a file of this machine.
pub fn path(unix: &Path) -> String {
    format!("Z:{}", unix.to_str().unwrap().replace('/', "\\"))
}

/// The files in the temporary directories of wine's users.
pub fn temporary_files() -> Vec<PathBuf> {
    let users = PathBuf::from(setting("WINEPREFIX")).join("drive_c/users");
    let user = std::fs::read_dir(users).unwrap().map(|user| user.unwrap().path());
    let temporary = user.map(|user| user.join("Temp")).filter(|directory| directory.is_dir());
    temporary
        .flat_map(|directory| std::fs::read_dir(directory).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

/// An environment variable that `cargo xtask test` sets.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` runs these tests"))
}

/// Copies bytes between `one` and `other`, in both directions, until both end.
pub fn join(one: TcpStream, other: UnixStream) {
    let (mut from_one, mut to_one) = (one.try_clone().unwrap(), one);
    let (mut from_other, mut to_other) = (other.try_clone().unwrap(), other);
    thread::spawn(move || {
        let _ = io::copy(&mut from_one, &mut to_other);
        let _ = to_other.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_other, &mut to_one);
        let _ = to_one.shutdown(Shutdown::Both);
    });
}
