//! SSH agents in tests: a real ssh-agent, keys made by `ssh-keygen`, and clients that send any message.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::agent::{Identity, Reader, number, read_identities};
use rustix::process::{Pid, Signal};

use crate::support::{Bridge, Home, LIMIT, Outcome, Process, Start as _};

mod messages;

pub use messages::*;

/// A real `ssh-agent` at a socket in a home. It is ended when this is dropped.
pub struct SshAgent {
    pub socket: PathBuf,
    process: Process,
}

impl SshAgent {
    pub fn start(home: &Home) -> Self {
        Self::at(home, home.path("real.sock"))
    }

    pub fn at(home: &Home, socket: PathBuf) -> Self {
        let mut command = home.program("ssh-agent", ["-D", "-a"]);
        let process = command.arg(&socket).start();
        process.prints("SSH_AUTH_SOCK");
        Self { socket, process }
    }

    /// `ssh-add ARGS` with this agent.
    pub fn ssh_add(&self, home: &Home, args: &[&str]) -> Outcome {
        ssh_add(home, &self.socket, args)
    }

    pub fn add(&self, home: &Home, key: &Key) {
        self.ssh_add(home, &["-q", key.path.to_str().unwrap()]).succeeds();
    }

    /// Exit code and output of `ssh-add -L`, to compare.
    pub fn keys(&self, home: &Home) -> String {
        let outcome = self.ssh_add(home, &["-L"]);
        format!("{:?} {} {}", outcome.code(), outcome.text(), outcome.stderr)
    }

    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it by SIGTERM, so that it removes its socket.
    pub fn end(self) {
        self.process.signal(Signal::TERM);
        self.process.exits();
    }
}

/// `ssh-add ARGS` with the agent at `socket`; every prompt is answered with "secret".
pub fn ssh_add(home: &Home, socket: &Path, args: &[&str]) -> Outcome {
    home.program("ssh-add", args)
        .env("SSH_AUTH_SOCK", socket)
        .env("SSH_ASKPASS", script(home, "ssh-add-askpass", "echo secret"))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .outcome()
}

/// An executable script of these shell commands. An existing one of that name is kept.
pub fn script(home: &Home, name: &str, commands: &str) -> PathBuf {
    let path = home.path(name);
    if !path.exists() {
        // Written by another process: a file that this one has open for writing at a fork cannot be executed.
        let draft = home.file(&format!("{name}.draft"), format!("#!/bin/sh\n{commands}\n"));
        fs::set_permissions(&draft, PermissionsExt::from_mode(0o700)).unwrap();
        home.program("cp", [&draft, &path]).outcome().succeeds();
    }
    path
}

/// A user's key, made by `ssh-keygen`.
#[derive(Debug, Clone)]
pub struct Key {
    pub path: PathBuf,
    /// The public key, in SSH's encoding.
    pub blob: Vec<u8>,
    /// Also the file's name.
    pub comment: String,
}

impl Key {
    pub fn ed25519(home: &Home, comment: &str) -> Self {
        Self::generate(home, comment, &["-t", "ed25519"], "")
    }

    pub fn generate(home: &Home, comment: &str, kind: &[&str], passphrase: &str) -> Self {
        let path = home.path(comment);
        let mut command = home.program("ssh-keygen", ["-q", "-C", comment, "-N", passphrase, "-f"]);
        command.arg(&path).args(kind).outcome().succeeds();
        Self { blob: public(&path.with_extension("pub")), path, comment: comment.to_owned() }
    }

    /// In the form of `ssh-keygen -l`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    pub fn identity(&self) -> Identity {
        Identity { key: self.blob.clone(), comment: self.comment.clone().into_bytes() }
    }
}

/// The key or certificate in a `.pub` file.
pub fn public(path: &Path) -> Vec<u8> {
    STANDARD.decode(fs::read_to_string(path).unwrap().split(' ').nth(1).unwrap()).unwrap()
}

/// A connection to an agent's socket.
pub struct AgentClient(UnixStream);

impl AgentClient {
    pub fn at(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).unwrap())
    }

    /// For an agent at the other end of `stream`.
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Self(stream)
    }

    /// Sends bytes that need not be a message. An agent that has closed the connection is no error.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.0.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{error}")
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Closes the sending direction only.
    pub fn stop_sending(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// The next message, or `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 4];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("no answer: {error}"),
        }
        let mut message = vec![0; u32::from_be_bytes(head) as usize];
        self.0.read_exact(&mut message).unwrap();
        Some(message)
    }

    pub fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        self.send(&framed(message));
        self.next().unwrap_or_else(|| panic!("the connection was closed after {message:02x?}"))
    }

    /// The keys that the agent lists.
    pub fn list(&mut self) -> Vec<Identity> {
        read_identities(&self.ask(LIST)).unwrap()
    }

    /// Requests a signature; `None` if the agent refuses.
    pub fn sign(&mut self, key: &[u8], data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let answer = self.ask(&sign_request(key, data, flags));
        let mut reader = Reader::new(&answer);
        match reader.u8().unwrap() {
            number::SIGN_RESPONSE => {
                let signature = reader.string().unwrap().to_vec();
                reader.finish().unwrap();
                Some(signature)
            }
            _ => {
                assert_eq!(answer, NO);
                None
            }
        }
    }

    /// The agent signs `login`, and the signature is valid.
    #[track_caller]
    pub fn logs_in(&mut self, login: Login<'_>) {
        let data = login.data();
        let signature = self.sign(login.key, &data, 0).unwrap_or_else(|| panic!("refused"));
        assert_valid(login.key, login.algorithm, &data, &signature);
    }

    /// The agent refuses to sign `login`.
    #[track_caller]
    pub fn cannot_log_in(&mut self, login: Login<'_>) {
        assert_eq!(self.sign(login.key, &login.data(), 0), None);
    }

    #[track_caller]
    pub fn binds(&mut self, bind: &[u8]) {
        assert_eq!(self.ask(bind), YES);
    }
}

/// An `exec` with an agent whose COMMAND runs until [`Self::end`].
pub struct Build {
    pub socket: PathBuf,
    pub process: Process,
}

impl Build {
    /// `exec ARGS` with such a COMMAND.
    pub fn start(bridge: &Bridge, args: &[&str]) -> Self {
        let mut command =
            bridge.client([&["exec"], args, &["--sh", "echo $SSH_AUTH_SOCK; exec cat"]].concat());
        let process = command.stdin(Stdio::piped()).start();
        let socket = PathBuf::from(process.prints_line());
        Self { socket, process }
    }

    pub fn connect(&self) -> AgentClient {
        AgentClient::at(&self.socket)
    }

    /// Lets COMMAND end.
    pub fn end(mut self) -> Outcome {
        drop(self.process.stdin.take());
        self.process.ends().succeeds()
    }
}
