//! Host names for one program: the bridge resolves the servers of a test, and nothing else on this machine does.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::support::Home;

/// `command`, in a mount namespace whose `/etc/hosts` also has these names. It has the same process id as without that.
///
/// A test that uses it requires `MOUNT_NAMESPACE`.
pub fn resolving(home: &Home, names: &[(&str, IpAddr)], command: &Command) -> Command {
    let mut hosts = String::from("127.0.0.1 localhost\n");
    for (name, address) in names {
        writeln!(hosts, "{address} {name}").unwrap();
    }
    let hosts = home.file("hosts", hosts);
    let mut wrapped = Command::new("unshare");
    wrapped.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        wrapped.arg("--map-root-user");
    }
    // unshare and the shell are replaced by the program.
    wrapped.args(["sh", "-c", "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"", "sh"]).arg(hosts);
    wrapped.arg(command.get_program()).args(command.get_args());
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
