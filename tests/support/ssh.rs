//! Real OpenSSH on both sides of the bridge: servers with their own host keys, an agent, keys that the servers accept,
//! git repositories, and a client without known hosts.
//!
//! A server's port is the test's own listener: sshd is started for each connection, as inetd does it. So no port is
//! guessed, connections can be counted and cut, and another host key can answer at the same address.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::require::{Need, first_missing};
use crate::support::{Bridge, Home, Process, Start as _};

mod agent_proxy;
mod server;
mod tcp_proxy;

pub use agent_proxy::AgentProxy;
pub use server::Sshd;
pub use tcp_proxy::TcpProxy;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything that a login needs. Its processes end when this is dropped.
pub struct Scene {
    /// The client's HOME and working directory.
    pub home: Home,
    /// The server that bridges allow.
    pub server: Sshd,
    /// A server that they do not allow, with another host key.
    pub other: Sshd,
    /// An agent that holds `key`.
    pub agent: Agent,
    /// A key that both servers accept.
    pub key: Key,
    /// The user who runs the tests: an sshd without root privileges can log in no other.
    pub user: String,
    files: Files,
}

/// A directory for keys, configurations and repositories.
struct Files(TempDir);

/// A key pair in files.
#[derive(Clone)]
pub struct Key {
    pub path: PathBuf,
    pub comment: String,
}

impl Scene {
    /// Servers at loopback.
    pub fn new() -> Self {
        Self::at(LOOPBACK)
    }

    /// Servers at this address.
    ///
    /// # Panics
    ///
    /// If the machine cannot run a server.
    pub fn at(address: IpAddr) -> Self {
        SSH_SERVER.assert();
        Self::set_up(address)
    }

    fn set_up(address: IpAddr) -> Self {
        // Without tempfile's leading dot, which the paths of repositories may not have.
        let files = Files(tempfile::Builder::new().prefix("ssh").tempdir().unwrap());
        let key = files.key("deploy key");
        fs::write(files.path("authorized_keys"), key.public_line()).unwrap();
        let server = Sshd::start(&files, "server", address);
        let other = Sshd::start(&files, "other", address);
        let agent = Agent::start();
        agent.add(&key);
        Self { home: Home::new(), server, other, agent, key, user: user(), files }
    }

    /// Why a login fails even without a bridge: an sshd without root privileges may be unable to log in its own user.
    fn login_failure(&self) -> Option<String> {
        let mut ssh = self.program("ssh", ["-F", "none", "-oStrictHostKeyChecking=no", "-oLogLevel=ERROR"]);
        ssh.args(["-o", &format!("UserKnownHostsFile={}", self.path("probe").display())]);
        ssh.env("SSH_AUTH_SOCK", &self.agent.socket).args(self.destination(&self.server)).arg("true");
        let outcome = ssh.outcome();
        let why =
            || format!("sshd cannot log in {} here: {}{}", self.user, outcome.stderr, self.server.log());
        (outcome.code() != Some(0)).then(why)
    }

    /// The path of `name`, which need not exist, in the directory of the servers.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// A new key pair, which no server accepts yet.
    pub fn new_key(&self, comment: &str) -> Key {
        self.files.key(comment)
    }

    /// Replaces the authorized_keys file of both servers.
    pub fn accept(&self, lines: &str) {
        fs::write(self.path("authorized_keys"), lines).unwrap();
    }

    /// A known_hosts file with all `servers`, for the bridge or for a client.
    pub fn known_hosts(&self, servers: &[&Sshd]) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let lines: String = servers.iter().map(|server| server.known_hosts_line()).collect();
        let path = self.path(&format!("known_hosts{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, lines).unwrap();
        path
    }

    /// A bridge with the agent and the host keys of both servers; it allows only `server`.
    pub fn serve(&self, options: &[&str]) -> Bridge {
        let allowed = self.server.name();
        self.serve_with(&[&["--ssh-allow-host", &allowed], options].concat())
    }

    /// A bridge with the agent, the host keys of both servers, and no allowed hosts but those in `options`.
    pub fn serve_with(&self, options: &[&str]) -> Bridge {
        self.serve_agent(&self.agent.socket, options)
    }

    /// As [`Self::serve_with`], with the agent that listens at `socket`.
    pub fn serve_agent(&self, socket: &Path, options: &[&str]) -> Bridge {
        let known_hosts = self.known_hosts(&[&self.server, &self.other]);
        let agent = format!("default={}", socket.display());
        let usual = ["--ssh", &agent, "--ssh-known-hosts", known_hosts.to_str().unwrap(), "--audit", AUDIT];
        Bridge::serve([&usual, options].concat())
    }

    /// `PROGRAM ARGS` in the client's home.
    pub fn program(&self, program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.home.program(program, args);
        set_git_environment(&mut command);
        command
    }

    /// `secrets-bridge exec ARGS` in the client's home.
    pub fn exec(&self, conf: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.home.command(["exec"]);
        command.args(args).env("BRIDGE_CONF", conf);
        set_git_environment(&mut command);
        command
    }

    /// The arguments of ssh for `server`.
    pub fn destination(&self, server: &Sshd) -> [String; 3] {
        let address = if server.address.is_unspecified() { LOOPBACK } else { server.address };
        ["-p".to_owned(), server.port.to_string(), format!("{}@{address}", self.user)]
    }

    /// As [`Self::destination`], for a shell.
    pub fn destination_words(&self, server: &Sshd) -> String {
        self.destination(server).join(" ")
    }

    /// `ssh://USER@ADDRESS:PORT/PATH`.
    pub fn url(&self, server: &Sshd, path: impl AsRef<Path>) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, server.port, path.as_ref().display())
    }

    /// A bare repository with one commit: a `file` that contains `name`, and a submodule for each path and URL.
    pub fn repository(&self, name: &str, submodules: &[(&str, &Repository, &str)]) -> Repository {
        let (bare, work) = (self.path(&format!("{name}.git")), self.path(&format!("{name}.work")));
        let git = |arguments: &[&str]| {
            let outcome = self.program("git", arguments).current_dir(&work).outcome().succeeds();
            outcome.text().trim().to_owned()
        };
        fs::create_dir_all(&work).unwrap();
        git(&["init", "--quiet", "--initial-branch=main"]);
        fs::write(work.join("file"), format!("{name}\n")).unwrap();
        let mut modules = String::new();
        for (path, repository, url) in submodules {
            modules += &format!("[submodule {path:?}]\n\tpath = {path}\n\turl = {url}\n");
            let link = format!("160000,{},{path}", repository.commit);
            git(&["update-index", "--add", "--cacheinfo", &link]);
        }
        fs::write(work.join(".gitmodules"), modules).unwrap();
        git(&["add", "file", ".gitmodules"]);
        git(&["commit", "--quiet", "--message=one"]);
        git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
        let commit = git(&["rev-parse", "HEAD"]);
        fs::remove_dir_all(&work).unwrap();
        Repository { path: bare, commit }
    }

    /// The client's home contains exactly `given`, and no known_hosts file of the user or the system contains a server.
    #[track_caller]
    pub fn has_left_only(&self, given: &[&str]) {
        let mut found: Vec<String> = fs::read_dir(self.home.path("."))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, given);
        // ssh takes the home of its user from the system, not from HOME.
        for file in [own_home().join(".ssh/known_hosts"), "/etc/ssh/ssh_known_hosts".into()] {
            let text = fs::read_to_string(file).unwrap_or_default();
            for server in [&self.server, &self.other] {
                assert!(!text.contains(&server.host_key()), "{text}");
            }
        }
    }
}

/// A bare repository.
pub struct Repository {
    pub path: PathBuf,
    pub commit: String,
}

/// The audit file of a scene's bridges, in their home.
pub const AUDIT: &str = "audit.jsonl";

/// Ends the bridge and returns its audit records of one kind.
pub fn records(bridge: &Bridge, kind: &str) -> Vec<Value> {
    bridge.process.signal(Signal::TERM);
    bridge.process.exits();
    let all = bridge.home.read(AUDIT);
    let records = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["record"] == kind).collect()
}

/// An SSH server that lets the user of this test log in, with git behind it.
pub const SSH_SERVER: Need = Need {
    name: "sshd",
    missing: || {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        MISSING.get_or_init(missing).clone()
    },
    remedy: "install openssh-server, openssh-client and git (or run `cargo xtask test --install`)",
};

/// Why the machine cannot run a server.
fn missing() -> Option<String> {
    if let Some(missing) = first_missing(&["sshd", "ssh", "ssh-agent", "ssh-add", "ssh-keygen", "git"]) {
        return Some(missing);
    }
    if rustix::process::geteuid().is_root() {
        // sshd needs this directory, which its service makes; the service may never have been started.
        let _ = fs::create_dir("/run/sshd");
    }
    // A scene of its own, so that this login does not count among the connections of a test.
    Scene::set_up(LOOPBACK).login_failure()
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The home directory of the user in /etc/passwd.
fn own_home() -> PathBuf {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (user, mut lines) = (format!("{}:", user()), passwd.lines());
    let line = lines.find(|line| line.starts_with(&user)).unwrap_or_default();
    line.split(':').nth(5).unwrap_or("/nonexistent").into()
}

/// Names for commits, and no configuration of the machine.
fn set_git_environment(command: &mut Command) {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, comment: &str) -> Key {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path(&format!("key{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&path);
        keygen.stdin(Stdio::null()).outcome().succeeds();
        Key { path, comment: comment.to_owned() }
    }
}

impl Key {
    /// The contents of its `.pub` file.
    pub fn public_line(&self) -> String {
        fs::read_to_string(self.path.with_extension("pub")).unwrap()
    }

    /// Type and key, without the comment.
    pub fn public(&self) -> String {
        self.public_line().split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// `SHA256:…`
    pub fn fingerprint(&self) -> String {
        let output = Command::new("ssh-keygen").arg("-lf").arg(&self.path).outcome().succeeds();
        output.text().split(' ').nth(1).unwrap().to_owned()
    }
}

/// A real ssh-agent. It is killed when this is dropped.
pub struct Agent {
    pub process: Process,
    pub socket: PathBuf,
    home: Home,
}

impl Agent {
    pub fn start() -> Self {
        let home = Home::new();
        let socket = home.path("agent.sock");
        let process = home.program("ssh-agent", ["-D", "-a", socket.to_str().unwrap()]).start();
        // Printed once it listens.
        process.prints("SSH_AUTH_SOCK");
        Self { process, socket, home }
    }

    /// `ssh-add KEY`.
    pub fn add(&self, key: &Key) {
        self.add_with(key, &[] as &[&str]);
    }

    /// `ssh-add OPTIONS KEY`.
    pub fn add_with(&self, key: &Key, options: &[impl AsRef<OsStr>]) {
        let mut add = self.home.program("ssh-add", ["-q"]);
        add.args(options).arg(&key.path).env("SSH_AUTH_SOCK", &self.socket).outcome().succeeds();
    }

    /// `ssh-add -D`.
    pub fn remove_all_keys(&self) {
        self.home.program("ssh-add", ["-qD"]).env("SSH_AUTH_SOCK", &self.socket).outcome().succeeds();
    }
}
