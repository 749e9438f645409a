//! The bridge on Windows (here wine): sources of secrets, `serve -d`, and the kinds of SSH agents that exist on Windows. The
//! agents behind wine's pipes run on Linux.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::support;
use crate::support::agent;
use crate::support::agent::{Build, HostKey, Key, Login, ONE, SshAgent, framed};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Process, Start as _};
use crate::wine;
use crate::wine::{exe, path, relay};

const OPENSSH_PIPE: &str = r"\\.\pipe\openssh-ssh-agent";
const EXTENSION: u8 = 27;

#[test]
fn a_build_on_linux_gets_secrets_from_windows() {
    let home = Home::new();
    let file = home.file("a file", "from a file");
    let big: Vec<u8> = (0..10_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    home.file("big", &big);
    let source = format!("id=FILE,src={}", path(&file));
    let args = ["serve", "--listen", "127.0.0.1:0", "--secret", "TOKEN", "--secret", &source];
    let more = ["--secret", r"id=BIG,src=.\big", "--secret", "id=CMD,cmd=echo %TOKEN%& echo two"];
    let mut command = exe(&home, [&args[..], &more].concat());
    let bridge = Bridge::start(home, {
        command.env("TOKEN", "hunter2");
        command
    });
    bridge.client(["print", "FILE"]).outcome().succeeds().prints("from a file");
    bridge.client(["print", "BIG"]).outcome().succeeds().prints(big);
    // cmd writes CRLF; the last line end is trimmed, as with `$(…)`.
    bridge.client(["print", "CMD"]).outcome().succeeds().prints("hunter2\r\ntwo");
    let script = "printf '%s ' $T; cat netrc; exit 7";
    let words = ["exec", "--no-mask", "-e", "T=TOKEN", "--file", "TOKEN=netrc", "--sh", script];
    bridge.client(words).outcome().exits_with(7).prints("hunter2 hunter2");
    bridge.client(["print", "ABSENT"]).outcome().fails().says("the bridge has no such secret");
    wine::client(&bridge, ["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    bridge.client(["kill"]).outcome().succeeds();
    bridge.process.exits();
    bridge.client(["print", "TOKEN"]).outcome().fails().says("no endpoint of the bridge answered");
}

#[test]
fn serve_d_returns_and_continues_in_the_background() {
    let home = Home::new();
    let args =
        ["serve", "-d", r".\bridge.log", "--listen", "127.0.0.1:0", "--secret", "TOKEN", "--secret", "IN=-"];
    let mut command = exe(&home, args);
    command.env("TOKEN", "hunter2").stdin(Stdio::piped()).stdout(Stdio::piped());
    // Not captured: under wine child processes inherit this descriptor, which they do not on Windows.
    let mut started = command.stderr(std::fs::File::create(home.path("stderr")).unwrap()).spawn().unwrap();
    started.stdin.take().unwrap().write_all(b"from stdin").unwrap();
    let mut stdout = started.stdout.take().unwrap();
    let (sender, captured) = std::sync::mpsc::channel();
    // The pipe ends once no process has it open, which is how long `$(…)` in a shell waits: the bridge must not keep it open.
    thread::spawn(move || {
        let mut conf = String::new();
        sender.send(stdout.read_to_string(&mut conf).map(|_| conf)).unwrap();
    });
    let conf = captured.recv_timeout(support::LIMIT).unwrap().unwrap();
    assert!(started.wait().unwrap().success(), "{}", home.read("stderr"));
    assert!(home.read("stderr").contains("runs in the background as process"), "{}", home.read("stderr"));
    let client = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("BRIDGE_CONF", conf.trim_end());
        command.outcome()
    };
    client(&["print", "TOKEN"]).succeeds().prints("hunter2");
    client(&["print", "IN"]).succeeds().prints("from stdin");
    assert!(home.read("bridge.log").contains("the bridge listens on port"), "{}", home.read("bridge.log"));
    client(&["kill"]).succeeds();

    // Errors are reported in the foreground, and not only in the log.
    exe(&home, ["serve", "-d", "bridge.log", "--secret", "NOPE"])
        .outcome()
        .fails()
        .says("the environment variable NOPE is not set");
}

/// How Microsoft's ssh-agent answers a session-bind.
#[derive(Debug, Clone, Copy)]
enum Quirk {
    /// Like OpenSSH's agent on Unix.
    None,
    /// Versions 8.1 and 8.6 close the connection without an answer.
    HangsUp,
    /// Version 8.9 and later write bytes after the answer …
    ExtraBytes,
    /// … or an empty answer.
    EmptyAnswer,
}

/// An agent with the key `deploy` at a TCP port of this machine, which can answer like other agents do. A relay, or a socket
/// file of Cygwin's, leads the bridge to the port.
struct FakeAgent {
    key: Key,
    listener: TcpListener,
    agent: SshAgent,
}

impl FakeAgent {
    fn new(home: &Home) -> Self {
        let agent = SshAgent::start(home);
        let key = Key::ed25519(home, "deploy");
        agent.add(home, &key);
        Self { key, listener: TcpListener::bind("127.0.0.1:0").unwrap(), agent }
    }

    fn port(&self) -> String {
        self.listener.local_addr().unwrap().port().to_string()
    }

    /// Answers connections until the test ends, with `quirk`. `greet` runs first, for handshakes of the transport.
    fn serve(&self, quirk: Quirk, greet: impl Fn(&mut TcpStream) + Send + 'static) {
        let (listener, socket) = (self.listener.try_clone().unwrap(), self.agent.socket.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                greet(&mut stream);
                let socket = socket.clone();
                thread::spawn(move || answer(stream, &socket, quirk));
            }
        });
    }

    /// This agent behind the pipe of OpenSSH for Windows.
    fn at_openssh(&self, home: &Home) -> Process {
        let pipe = relay(home, &["listen", OPENSSH_PIPE, &self.port()]).start();
        pipe.prints("ready");
        pipe
    }
}

fn answer(mut stream: TcpStream, socket: &Path, quirk: Quirk) {
    let mut agent = UnixStream::connect(socket).unwrap();
    while let Some(message) = next(&mut stream) {
        let is_bind = message.first() == Some(&EXTENSION);
        match quirk {
            Quirk::HangsUp if is_bind => return,
            Quirk::ExtraBytes if is_bind => stream.write_all(&[0, 0, 0, 1, 5, 0, 0, 0, 5]).unwrap(),
            Quirk::EmptyAnswer if is_bind => stream.write_all(&[0; 4]).unwrap(),
            Quirk::None | Quirk::HangsUp | Quirk::ExtraBytes | Quirk::EmptyAnswer => {
                agent.write_all(&framed(&message)).unwrap();
                let answer = next(&mut agent).unwrap();
                if stream.write_all(&framed(&answer)).is_err() {
                    return;
                }
            }
        }
    }
}

fn next(stream: &mut impl std::io::Read) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut message = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// Starts a bridge on Windows with `args`, and logs in from a build on Linux.
fn logs_in(home: Home, args: &[&str], socket: Option<PathBuf>, key: &Key) {
    let mut command = exe(&home, [&["serve", "--listen", "127.0.0.1:0"], args].concat());
    if let Some(socket) = socket {
        command.env("SSH_AUTH_SOCK", path(&socket));
    }
    let bridge = Bridge::start(home, {
        command.stdin(Stdio::null());
        command
    });
    let build = Build::start(&bridge, &[]);
    for _ in 0..2 {
        let mut client = build.connect();
        assert_eq!(client.list(), [key.identity()]);
        client.binds(&HostKey::new().bind(&ONE));
        client.logs_in(Login::new(&ONE, key));
        client.logs_in(Login::new(&ONE, key));
    }
    build.end();
}

#[test]
fn the_agent_of_openssh_for_windows_signs_with_any_quirk() {
    require!(OPENSSH);
    for quirk in [Quirk::None, Quirk::HangsUp, Quirk::ExtraBytes, Quirk::EmptyAnswer] {
        let home = Home::new();
        let fake = FakeAgent::new(&home);
        fake.serve(quirk, |_| {});
        let pipe = fake.at_openssh(&home);
        logs_in(home, &["--ssh", &format!("default={OPENSSH_PIPE}")], None, &fake.key);
        drop(pipe);
    }
    // -A uses this agent if SSH_AUTH_SOCK names no other.
    let home = Home::new();
    let fake = FakeAgent::new(&home);
    fake.serve(Quirk::None, |_| {});
    let _pipe = fake.at_openssh(&home);
    logs_in(home, &["-A"], None, &fake.key);
}

const GUID: &str = "282F93E1-9E2D051A-46B57EFC-64A1852F";
const SECRET: [u8; 16] =
    [0xe1, 0x93, 0x2f, 0x28, 0x1a, 0x05, 0x2d, 0x9e, 0xfc, 0x7e, 0xb5, 0x46, 0x2f, 0x85, 0xa1, 0x64];

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_agent_sockets_of_cygwin_and_msys_work() {
    require!(OPENSSH);
    let home = Home::new();
    let fake = FakeAgent::new(&home);
    fake.serve(Quirk::None, |stream| {
        assert_eq!(read(stream), SECRET);
        stream.write_all(&SECRET).unwrap();
        // The ids of process, user and group. The client sends user and group 0.
        assert_eq!(read::<12>(stream)[4..], [0; 8]);
        stream.write_all(&[1, 0, 0, 0, 0xe8, 3, 3, 0, 1, 2, 3, 0]).unwrap();
    });
    let socket = home.file("cygwin.sock", format!("!<socket >{} s {GUID}\0", fake.port()));
    logs_in(home, &["-A"], Some(socket), &fake.key);

    let home = Home::new();
    let fake = FakeAgent::new(&home);
    fake.serve(Quirk::None, |stream| {
        assert_eq!(read(stream), SECRET);
        stream.write_all(&SECRET).unwrap();
    });
    let socket = home.file("msys.sock", format!("!<socket >{} {GUID}", fake.port()));
    let named = format!("default={}", path(&socket));
    logs_in(home, &["--ssh", &named], None, &fake.key);
}

#[test]
fn a_process_on_the_host_gets_the_agent_as_a_pipe() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let name = r"\\.\pipe\of-the-bridge";
    let args = ["serve", "--listen", "127.0.0.1:0", "--ssh", "default=deploy", "--agent-socket", name];
    let command = exe(&home, args);
    let bridge = Bridge::start(home, command);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let opener = relay(&bridge.home, &["open", &port]).env("SSH_AUTH_SOCK", name).start();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"1").unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    wine::join(stream, theirs);
    let mut client = agent::AgentClient::over(ours);
    assert_eq!(client.list(), [key.identity()]);
    client.logs_in(Login::new(&ONE, &key));
    drop(opener);
}

#[test]
fn a_key_file_is_used_if_only_this_user_may_read_it() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    // wine derives the access list from the mode.
    std::fs::set_permissions(&key.path, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = exe(&home, ["serve", "--ssh", "default=deploy"]).outcome().fails();
    refused.says("others can read or change it");
    std::fs::set_permissions(&key.path, PermissionsExt::from_mode(0o600)).unwrap();
    logs_in(home, &["--ssh", "default=deploy"], None, &key);
}

#[test]
fn invalid_agents_are_reported_at_the_start() {
    let home = Home::new();
    let fails = |args: &[&str]| exe(&home, [&["serve"], args].concat()).outcome().fails();
    fails(&["--ssh", r"default=\\.\pipe\absent"]).says(r"cannot use \\.\pipe\absent");
    fails(&["--ssh", "default=absent.key"]).says("no such file");
    home.file("odd.sock", "!<socket >1 s 0");
    fails(&["--ssh", "default=odd.sock"]).says("no private key of a known format is in it");
}
