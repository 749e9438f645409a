//! An agent behind the bridge, and a client in the build, made with ssh-agent-lib: neither shares code with OpenSSH or with
//! the bridge.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::Ed25519KeyPair;
use ssh_agent_lib::agent::{Session, listen};
use ssh_agent_lib::client::Client;
use ssh_agent_lib::error::AgentError;
use ssh_agent_lib::proto::extension::{QueryResponse, RestrictDestination, SessionBind};
use ssh_agent_lib::proto::{
    AddIdentity, AddIdentityConstrained, Extension, Identity, KeyConstraint, PrivateCredential, SignRequest,
    SmartcardKey,
};
use ssh_agent_lib::ssh_encoding::Decode as _;
use ssh_agent_lib::ssh_key::private::{KeypairData, PrivateKey};
use ssh_agent_lib::ssh_key::public::KeyData;
use ssh_agent_lib::ssh_key::{Algorithm, Signature};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

use crate::support::agent::{Build, HostKey, Key, Login, ONE, TWO, assert_valid, ssh_add};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, LIMIT};

/// An agent that keeps keys, some of them for certain hosts only, and remembers the binds that it gets.
#[derive(Clone, Default)]
struct StrangersAgent {
    keys: Arc<Mutex<Vec<StoredKey>>>,
    /// All binds, of all connections.
    binds: Arc<Mutex<Vec<KeyData>>>,
    /// The host of this connection's bind.
    bound: Option<KeyData>,
}

#[derive(Clone)]
struct StoredKey {
    private: PrivateKey,
    /// Host keys for which it may be used; empty for all.
    hosts: Vec<KeyData>,
}

impl StrangersAgent {
    fn start(home: &Home) -> (Self, PathBuf, Runtime) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (agent, socket) = (Self::default(), home.path("strangers.sock"));
        let listener = {
            let _context = runtime.enter();
            UnixListener::bind(&socket).unwrap()
        };
        runtime.spawn(listen(listener, agent.clone()));
        (agent, socket, runtime)
    }

    fn add(&self, identity: AddIdentity, hosts: Vec<KeyData>) -> Result<(), AgentError> {
        let PrivateCredential::Key { privkey, comment } = identity.credential else {
            return Err(AgentError::Failure);
        };
        let private = PrivateKey::new(privkey, comment).map_err(AgentError::other)?;
        self.keys.lock().unwrap().push(StoredKey { private, hosts });
        Ok(())
    }

    /// The keys for the host of this connection. As with OpenSSH's agent, a connection without a bind may use all.
    fn usable(&self) -> Vec<StoredKey> {
        let keys = self.keys.lock().unwrap();
        let usable = |key: &&StoredKey| {
            key.hosts.is_empty() || self.bound.as_ref().is_none_or(|host| key.hosts.contains(host))
        };
        keys.iter().filter(usable).cloned().collect()
    }
}

#[ssh_agent_lib::async_trait]
impl Session for StrangersAgent {
    async fn request_identities(&mut self) -> Result<Vec<Identity>, AgentError> {
        let identity = |key: StoredKey| Identity {
            credential: key.private.public_key().key_data().clone().into(),
            comment: key.private.comment().to_owned(),
        };
        Ok(self.usable().into_iter().map(identity).collect())
    }

    async fn sign(&mut self, request: SignRequest) -> Result<Signature, AgentError> {
        let wanted = request.credential.key_data();
        let key = self.usable().into_iter().find(|key| key.private.public_key().key_data() == wanted);
        let key = key.ok_or(AgentError::Failure)?;
        let KeypairData::Ed25519(pair) = key.private.key_data() else { return Err(AgentError::Failure) };
        let pair = Ed25519KeyPair::from_seed_unchecked(&pair.private.to_bytes()).unwrap();
        Signature::new(Algorithm::Ed25519, pair.sign(&request.data).as_ref()).map_err(AgentError::other)
    }

    async fn add_identity(&mut self, identity: AddIdentity) -> Result<(), AgentError> {
        self.add(identity, Vec::new())
    }

    async fn add_identity_constrained(&mut self, added: AddIdentityConstrained) -> Result<(), AgentError> {
        let mut hosts = Vec::new();
        for constraint in added.constraints {
            let KeyConstraint::Extension(extension) = constraint else { return Err(AgentError::Failure) };
            let destinations = extension.parse_key_constraint::<RestrictDestination>()?;
            for destination in destinations.ok_or(AgentError::Failure)?.constraints {
                hosts.extend(destination.to.keys.into_iter().map(|key| key.keyblob));
            }
        }
        self.add(added.identity, hosts)
    }

    async fn extension(&mut self, extension: Extension) -> Result<Option<Extension>, AgentError> {
        let bind = extension.parse_message::<SessionBind>()?.ok_or(AgentError::Failure)?;
        bind.verify_signature().map_err(|_| AgentError::ExtensionFailure)?;
        self.binds.lock().unwrap().push(bind.host_key.clone());
        self.bound = Some(bind.host_key);
        Ok(None)
    }
}

fn key_data(blob: &[u8]) -> KeyData {
    KeyData::decode(&mut &blob[..]).unwrap()
}

#[test]
fn an_agent_of_ssh_agent_lib_lists_signs_and_gets_the_binds() {
    require!(OPENSSH);
    let home = Home::new();
    let (agent, socket, _runtime) = StrangersAgent::start(&home);
    let [free, restricted] = ["free", "restricted"].map(|comment| Key::ed25519(&home, comment));
    let [git, mirror, other] = std::array::from_fn(|_| HostKey::new());
    let known = [(&git, "git.example"), (&mirror, "mirror.example"), (&other, "other.example")];
    home.file("known", known.map(|(host, name)| host.line(name)).concat());
    ssh_add(&home, &socket, &["-q", free.path.to_str().unwrap()]).succeeds();
    let known = home.path("known").display().to_string();
    let for_git = ["-q", "-h", "git.example", "-H", &known, restricted.path.to_str().unwrap()];
    ssh_add(&home, &socket, &for_git).succeeds();

    let hosts = ["--ssh-allow-host", "git.example", "--ssh-allow-host", "mirror.example"];
    let mut command = home.serve([&["-A", "--ssh-known-hosts", "known"], &hosts[..]].concat());
    command.env("SSH_AUTH_SOCK", &socket);
    let bridge = Bridge::start(home, command);
    let build = Build::start(&bridge, &[]);
    // The agent's restrictions hold in addition to the bridge's.
    let mut to_mirror = build.connect();
    to_mirror.binds(&mirror.bind(&ONE));
    assert_eq!(to_mirror.list(), [free.identity()]);
    to_mirror.logs_in(Login::new(&ONE, &free));
    to_mirror.cannot_log_in(Login::new(&ONE, &restricted));
    let mut client = build.connect();
    client.binds(&git.bind(&ONE));
    assert_eq!(client.list(), [free.identity(), restricted.identity()]);
    for key in [&free, &restricted] {
        client.logs_in(Login::new(&ONE, key));
    }
    assert!(agent.binds.lock().unwrap().contains(&key_data(&git.public())));
    // Policy refuses a login to another host, and one without a bind, before the agent is asked.
    client.cannot_log_in(Login::new(&TWO, &free));
    build.connect().cannot_log_in(Login::new(&ONE, &free));
    let mut elsewhere = build.connect();
    elsewhere.binds(&other.bind(&TWO));
    elsewhere.cannot_log_in(Login::new(&TWO, &free));
    assert!(!agent.binds.lock().unwrap().contains(&key_data(&other.public())));
    build.end().says("host other.example is not allowed");
}

#[test]
fn a_client_of_ssh_agent_lib_gets_signatures_and_nothing_else() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let git = HostKey::new();
    home.file("known", git.line("git.example"));
    let args = ["--ssh", "default=deploy", "--ssh-allow-host", "git.example", "--ssh-known-hosts", "known"];
    let bridge = Bridge::serve_in(home, args);
    let build = Build::start(&bridge, &[]);
    let login = Login::new(&ONE, &key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let conversation = async {
        let connect = async || Client::new(UnixStream::connect(&build.socket).await.unwrap());
        let mut client = connect().await;
        let keys = client.request_identities().await.unwrap();
        let [listed] = &keys[..] else { panic!("{keys:?}") };
        assert_eq!((listed.credential.key_data(), &listed.comment[..]), (&key_data(&key.blob), "deploy"));
        let request = SignRequest { credential: listed.credential.clone(), data: login.data(), flags: 0 };
        // The host must be proven first.
        client.sign(request.clone()).await.unwrap_err();
        let mut client = connect().await;
        let bind = SessionBind {
            host_key: key_data(&git.public()),
            session_id: ONE.to_vec(),
            signature: Signature::decode(&mut &git.sign(&ONE)[..]).unwrap(),
            is_forwarding: false,
        };
        client.extension(Extension::new_message(bind).unwrap()).await.unwrap();
        let signature = client.sign(request.clone()).await.unwrap();
        let encoded = Vec::<u8>::try_from(signature).unwrap();
        assert_valid(&key.blob, "ssh-ed25519", &login.data(), &encoded);

        let other = SignRequest { data: Login::new(&TWO, &key).data(), ..request.clone() };
        client.sign(other).await.unwrap_err();
        client.sign(SignRequest { data: b"anything".to_vec(), ..request.clone() }).await.unwrap_err();
        let stored = PrivateKey::read_openssh_file(&key.path).unwrap();
        let credential =
            PrivateCredential::Key { privkey: stored.key_data().clone(), comment: "added".to_owned() };
        client.add_identity(AddIdentity { credential }).await.unwrap_err();
        client.remove_all_identities().await.unwrap_err();
        client.lock("password".to_owned()).await.unwrap_err();
        client.unlock("password".to_owned()).await.unwrap_err();
        let smartcard = SmartcardKey { id: "reader".to_owned(), pin: "1234".to_owned().into() };
        client.add_smartcard_key(smartcard).await.unwrap_err();
        let query = Extension::new_message(QueryResponse { extensions: Vec::new() }).unwrap();
        client.extension(query).await.unwrap_err();
        // After all refusals the connection is usable.
        client.sign(request).await.unwrap();
        assert_eq!(client.request_identities().await.unwrap().len(), 1);
    };
    runtime.block_on(async { tokio::time::timeout(LIMIT, conversation).await.unwrap() });
    drop(runtime);
    build.end().says("refused: ");
}
