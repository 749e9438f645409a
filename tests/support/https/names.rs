//! Host names for one program: the bridge resolves the servers of a test, and nothing else on this machine does.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Home;

/// `command`, in a mount namespace whose `/etc/hosts` also has these names. It has the same process id as without that.
///
/// A test that uses it requires `MOUNT_NAMESPACE`.
pub fn resolving(home: &Home, names: &[(&str, IpAddr)], command: &Command) -> Command {
    let words = prefix(&home.path("hosts"), names);
    let mut wrapped = Command::new(&words[0]);
    wrapped.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    wrapped.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped.stdin(Stdio::null());
    wrapped
}

/// The words that do so, before those of a command. The names are written to the file `hosts`.
pub fn prefix(hosts: &Path, names: &[(&str, IpAddr)]) -> Vec<OsString> {
    let mut text = String::from("127.0.0.1 localhost\n");
    for (name, address) in names {
        writeln!(text, "{address} {name}").unwrap();
    }
    fs::write(hosts, text).unwrap();
    let mut words = vec!["unshare", "--mount"];
    if !rustix::process::geteuid().is_root() {
        words.push("--map-root-user");
    }
    // unshare and the shell are replaced by the program.
    words.extend(["sh", "-c", "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"", "sh"]);
    words.into_iter().map(OsString::from).chain([hosts.into()]).collect()
}
