//! The agent that `exec` offers on Windows (here wine), as a named pipe.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use crate::support;
use crate::support::agent;
use crate::support::agent::{AgentClient, HostKey, Key, Login, NO, ONE, SshAgent, script};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Process, Start as _};
use crate::wine;
use crate::wine::{client, relay_path};
use std::io::Write as _;

struct Scene {
    bridge: Bridge,
    key: Key,
    _agent: SshAgent,
}

impl Scene {
    /// A bridge with an agent that has the key `deploy`. `prepare` can add files, and variables of the bridge.
    fn new(args: &[&str], prepare: impl FnOnce(&Home, &mut std::process::Command)) -> Self {
        let home = Home::new();
        let agent = SshAgent::start(&home);
        let key = Key::ed25519(&home, "deploy");
        agent.add(&home, &key);
        let mut command = home.serve([&["-A"], args].concat());
        command.env("SSH_AUTH_SOCK", &agent.socket);
        prepare(&home, &mut command);
        Self { bridge: Bridge::start(home, command), key, _agent: agent }
    }

    fn login(&self) -> Login<'_> {
        Login::new(&ONE, &self.key)
    }
}

/// A COMMAND (`relay.exe open`) that connects to the test and relays each connection to the pipe of its agent.
struct Build {
    listener: TcpListener,
    process: Process,
}

impl Build {
    fn start(bridge: &Bridge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let command = ["exec", "--", &relay_path(), "open", &port];
        Self { process: client(bridge, command).start(), listener }
    }

    fn connect(&self) -> AgentClient {
        let (mut stream, _) = self.listener.accept().unwrap();
        // Tells the relay to open the pipe. Without this byte, it exits.
        stream.write_all(b"1").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        wine::join(stream, theirs);
        AgentClient::over(ours)
    }

    fn end(self) {
        drop(self.listener.accept().unwrap());
        self.process.ends().succeeds();
    }
}

#[test]
fn a_command_lists_and_signs_through_the_pipe() {
    require!(OPENSSH);
    let scene = Scene::new(&[], |_, _| {});
    let build = Build::start(&scene.bridge);
    let mut one = build.connect();
    assert_eq!(one.list(), [scene.key.identity()]);
    one.logs_in(scene.login());
    let mut others: Vec<_> = (0..8).map(|_| build.connect()).collect();
    for other in &mut others {
        other.binds(&HostKey::new().bind(&ONE));
        other.logs_in(scene.login());
    }
    // SSH_AGENTC_REMOVE_ALL_IDENTITIES
    assert_eq!(one.ask(&[19]), NO);
    one.logs_in(scene.login());
    drop((one, others));
    build.end();
}

#[test]
fn the_pipe_is_for_this_user_alone() {
    require!(OPENSSH);
    let scene = Scene::new(&[], |_, _| {});
    let outcome = client(&scene.bridge, ["exec", "--", &relay_path(), "describe"]).outcome().succeeds();
    let text = outcome.text();
    let lines: Vec<&str> = text.lines().collect();
    let user = lines[1];
    assert!(user.starts_with("S-1-5-21-"), "{user}");
    // wine has a single user, so only the security descriptor can be checked.
    assert_eq!(lines[0], format!("O:{user}D:P(A;OICI;FA;;;{user})"));
    // The name has 128 random bits, different each time.
    let name = || {
        let outcome = client(&scene.bridge, ["exec", "--sh", "echo %SSH_AUTH_SOCK%"]).outcome().succeeds();
        let name = outcome.text().trim_end().to_owned();
        let random = name.strip_prefix(r"\\.\pipe\secrets-bridge-agent-").unwrap().to_owned();
        assert!(random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        random
    };
    let (one, other) = (name(), name());
    assert!(one != other && one[..16] != one[16..]);
}

#[test]
fn a_client_that_hangs_up_cancels_its_confirmation() {
    require!(OPENSSH);
    let scene = Scene::new(&["--ssh-confirm"], |home, command| {
        command.env(
            "SSH_ASKPASS",
            script(home, "askpass", "echo $$ > pid.new; mv pid.new pid; exec sleep 1000"),
        );
        command.env("DISPLAY", ":0").env("SSH_ASKPASS_REQUIRE", "force");
    });
    let build = Build::start(&scene.bridge);
    let mut client = build.connect();
    client.send(&agent::framed(&agent::sign_request(&scene.key.blob, &scene.login().data(), 0)));
    let pid = scene.bridge.home.path("pid");
    // The askpass program is another process; only this file shows that it has started.
    while !pid.exists() {
        std::thread::yield_now();
    }
    let asked = support::ForeignProcess::with_id(&scene.bridge.home.read("pid"));
    drop(client);
    asked.ends();
    build.end();
}

#[test]
fn git_gets_known_hosts_and_an_ssh_that_can_open_pipes() {
    require!(OPENSSH);
    let line = HostKey::new().line("git.invalid");
    let args = ["--ssh-allow-host", "git.invalid", "--ssh-known-hosts", "known"];
    let scene = Scene::new(&args, |home, _| drop(home.file("known", &line)));
    let drive = std::path::PathBuf::from(wine::setting("WINEPREFIX")).join("drive_c");
    let ssh = drive.join("Program Files/OpenSSH/ssh.exe");
    let run = |given: &[(&str, &str)]| {
        let mut command = client(&scene.bridge, ["exec", "--sh", "echo %GIT_SSH_COMMAND%& set /p x="]);
        command.envs(given.iter().copied());
        let mut process = command.stdin(std::process::Stdio::piped()).start();
        let shown = process.prints_line().trim_end().to_owned();
        let file = shown.split('"').nth(1).map(|file| drive.join(file.trim_start_matches("C:/")));
        let known = file.map(|file| std::fs::read_to_string(file).unwrap());
        drop(process.stdin.take());
        process.ends();
        (shown, known)
    };
    let (shown, known) = run(&[]);
    assert!(shown.starts_with("ssh -o 'GlobalKnownHostsFile=\""), "{shown}");
    assert!(shown.ends_with(" -o StrictHostKeyChecking=yes -o UpdateHostKeys=no"), "{shown}");
    assert_eq!(known.as_deref(), Some(&*line));

    std::fs::create_dir_all(ssh.parent().unwrap()).unwrap();
    std::fs::write(&ssh, "").unwrap();
    let (shown, _) = run(&[]);
    std::fs::remove_dir_all(ssh.parent().unwrap()).unwrap();
    assert!(shown.starts_with("'C:/Program Files/OpenSSH/ssh.exe' -o '"), "{shown}");

    let (shown, _) = run(&[("GIT_SSH_COMMAND", "myssh -v")]);
    assert!(shown.starts_with("myssh -v -o '"), "{shown}");
}
