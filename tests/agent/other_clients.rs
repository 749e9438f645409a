//! Clients and a server other than OpenSSH (russh, paramiko): a signature is valid for the session that it was made for
//! and no other, and a client without session-bind gets advice.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::agent::number;
use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::client::AgentClient;
use russh::keys::{PublicKey, PublicKeyOrCertificate, load_public_key, load_secret_key};
use russh::server::{self, Auth, VerifiedPublicKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::Runtime;

use crate::support::agent::{Build, Key, framed};
use crate::support::require::{Need, OPENSSH, require};
use crate::support::{Bridge, Home, LIMIT, Start as _};

/// An SSH server that lets the user `git` in with one key.
struct Server {
    port: u16,
    _runtime: Runtime,
}

#[derive(Clone)]
struct OneKey(PublicKey);

impl server::Handler for OneKey {
    type Error = russh::Error;

    // russh has verified the signature before it calls this.
    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let welcome = user == "git" && key.public_key.key_data() == self.0.key_data();
        Ok(if welcome { Auth::Accept } else { Auth::reject() })
    }
}

impl Server {
    fn start(host_key: &Path, user_key: &Path) -> Self {
        let keys = vec![load_secret_key(host_key, None).unwrap()];
        let patience = Duration::ZERO;
        let config = Arc::new(server::Config { keys, auth_rejection_time: patience, ..Default::default() });
        let handler = OneKey(load_public_key(user_key.with_extension("pub")).unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(session) = server::run_stream(Arc::clone(&config), stream, handler.clone()).await {
                    tokio::spawn(session);
                }
            }
        });
        Self { port, _runtime: runtime }
    }
}

/// Two servers, and a build with a key that both accept; the policy allows one of them.
struct Scene {
    bridge: Bridge,
    build: Build,
    allowed: Server,
    other: Server,
    /// Runs the clients.
    runtime: Runtime,
}

impl Scene {
    fn new(restricted: bool) -> Self {
        let home = Home::new();
        let [key, one, two] = ["deploy", "one", "two"].map(|comment| Key::ed25519(&home, comment));
        let [allowed, other] = [&one, &two].map(|host| Server::start(&host.path, &key.path));
        let line = |server: &Server, name: &str| {
            format!("[127.0.0.1]:{} {}", server.port, home.read(&format!("{name}.pub")))
        };
        home.file("known", line(&allowed, "one") + &line(&other, "two"));
        let host = format!("127.0.0.1:{}", allowed.port);
        let mut args = vec!["--ssh", "default=deploy"];
        if restricted {
            args.extend(["--ssh-allow-host", &host, "--ssh-known-hosts", "known"]);
        }
        let bridge = Bridge::serve_in(home, args);
        let build = Build::start(&bridge, &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { bridge, build, allowed, other, runtime }
    }

    /// Runs `client` for at most [`LIMIT`].
    fn run<T>(&self, client: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, client).await.unwrap() })
    }

    async fn socket(&self) -> UnixStream {
        UnixStream::connect(&self.build.socket).await.unwrap()
    }

    async fn agent(&self) -> AgentClient<UnixStream> {
        AgentClient::connect(self.socket().await)
    }
}

struct AcceptAnyHostKey;

impl client::Handler for AcceptAnyHostKey {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn connect(server: &Server) -> Handle<AcceptAnyHostKey> {
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    client::connect(Arc::default(), address, AcceptAnyHostKey).await.unwrap()
}

/// Logs in as `user` with the agent's first key, in the way that russh documents.
async fn log_in(
    session: &mut Handle<AcceptAnyHostKey>,
    user: &str,
    agent: &mut AgentClient<impl AsyncRead + AsyncWrite + Unpin + Send>,
) -> Result<AuthResult, String> {
    let identities = agent.request_identities().await.unwrap();
    let key = identities[0].public_key().into_owned();
    let result = session.authenticate_publickey_with(user, key, None, agent).await;
    result.map_err(|error| error.to_string())
}

#[test]
fn a_client_with_a_session_bind_logs_in_at_allowed_hosts_only() {
    require!(OPENSSH);
    let scene = Scene::new(true);
    scene.run(async {
        let mut agent = scene.agent().await;
        let mut session = connect(&scene.allowed).await;
        agent.bind_session(session.agent_session_binding().unwrap(), false).await.unwrap();
        assert!(log_in(&mut session, "git", &mut agent).await.unwrap().success());

        let mut agent = scene.agent().await;
        let mut session = connect(&scene.other).await;
        agent.bind_session(session.agent_session_binding().unwrap(), false).await.unwrap();
        log_in(&mut session, "git", &mut agent).await.unwrap_err();
    });
    let refusal = format!("refused: host [127.0.0.1]:{} is not allowed", scene.other.port);
    scene.build.end().says(&refusal);
}

#[test]
fn a_client_without_a_session_bind_gets_advice() {
    require!(OPENSSH);
    for restricted in [true, false] {
        let scene = Scene::new(restricted);
        let results = scene.run(async {
            let mut results = Vec::new();
            for server in [&scene.allowed, &scene.other] {
                let mut session = connect(server).await;
                let result = log_in(&mut session, "git", &mut scene.agent().await).await;
                results.push(result.is_ok_and(|result| result.success()));
            }
            results
        });
        assert_eq!(results, [!restricted, !restricted]);
        let outcome = scene.build.end();
        if restricted {
            outcome.says(
                "refused: this client does not say which host it talks to (no session-bind): use OpenSSH 8.9 or \
                 later; for cargo set net.git-fetch-with-cli = true",
            );
        } else {
            assert_eq!(outcome.stderr, "");
        }
    }
}

/// The state of a proxy between a client and the agent, which can replay a signature.
#[derive(Default)]
struct Interceptor {
    /// The last signature that the agent made.
    signature: Option<Vec<u8>>,
    /// Whether every sign request is answered by `signature`.
    replays: bool,
}

async fn message(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut message = vec![0; stream.read_u32().await.ok()? as usize];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// A client of the agent whose messages go through `interceptor`.
fn through(mut agent: UnixStream, interceptor: &Arc<Mutex<Interceptor>>) -> AgentClient<DuplexStream> {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let interceptor = Arc::clone(interceptor);
    tokio::spawn(async move {
        while let Some(asked) = message(&mut far).await {
            let replayed = {
                let interceptor = interceptor.lock().unwrap();
                interceptor
                    .signature
                    .clone()
                    .filter(|_| interceptor.replays && asked[0] == number::SIGN_REQUEST)
            };
            let answer = match replayed {
                Some(signature) => signature,
                None => {
                    agent.write_all(&framed(&asked)).await.unwrap();
                    message(&mut agent).await.unwrap()
                }
            };
            if answer[0] == number::SIGN_RESPONSE {
                interceptor.lock().unwrap().signature = Some(answer.clone());
            }
            far.write_all(&framed(&answer)).await.unwrap();
        }
    });
    AgentClient::connect(near)
}

#[test]
fn a_signature_opens_only_the_session_that_it_was_made_for() {
    require!(OPENSSH);
    let scene = Scene::new(true);
    scene.run(async {
        let interceptor = Arc::<Mutex<Interceptor>>::default();
        let mut agent = through(scene.socket().await, &interceptor);
        let mut first = connect(&scene.allowed).await;
        agent.bind_session(first.agent_session_binding().unwrap(), false).await.unwrap();
        assert!(log_in(&mut first, "git", &mut agent).await.unwrap().success());
        assert!(interceptor.lock().unwrap().signature.is_some());

        // The same signature is invalid in other sessions.
        interceptor.lock().unwrap().replays = true;
        for server in [&scene.allowed, &scene.other] {
            assert!(!log_in(&mut connect(server).await, "git", &mut agent).await.unwrap().success());
        }

        // A connection that is bound to the first session signs for no other.
        *interceptor.lock().unwrap() = Interceptor::default();
        for server in [&scene.allowed, &scene.other] {
            log_in(&mut connect(server).await, "git", &mut agent).await.unwrap_err();
            assert!(interceptor.lock().unwrap().signature.is_none());
        }
    });
    scene.build.end().says("refused: the session id is not the bound one");
}

/// A Python that can import paramiko: the first in PATH, or Debian's.
fn python() -> Option<&'static str> {
    let has_paramiko = |python: &&str| {
        let started = Command::new(python).args(["-c", "import paramiko"]).stderr(Stdio::null()).status();
        started.is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has_paramiko)
}

const PARAMIKO: Need = Need {
    name: "paramiko",
    missing: || python().is_none().then(|| "no python3 can import it".to_owned()),
    remedy: "install python3-paramiko (or run `cargo xtask test --install`)",
};

#[test]
fn paramiko_logs_in_only_where_hosts_are_not_restricted() {
    const SCRIPT: &str = "
import sys, paramiko
transport = paramiko.Transport(('127.0.0.1', int(sys.argv[1])))
transport.start_client()
key = paramiko.Agent().get_keys()[0]
try:
    transport.auth_publickey('git', key)
    print('in')
except paramiko.SSHException:
    print('out')
transport.close()
";
    require!(OPENSSH, PARAMIKO);
    let python = python().unwrap();
    for restricted in [true, false] {
        let scene = Scene::new(restricted);
        let port = scene.allowed.port.to_string();
        let outcome = scene.bridge.client(["exec", "--", python, "-c", SCRIPT, &port]).outcome().succeeds();
        if restricted {
            let advice =
                "refused: this client does not say which host it talks to (no session-bind): use OpenSSH";
            outcome.prints("out\n").says(advice);
        } else {
            outcome.prints("in\n");
        }
    }
}
