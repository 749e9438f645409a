//! Peers made by hand: clients that keep to the protocol or do not, and bridges that are none.
//!
//! They use `proto` for what both sides agree on, rustls and tungstenite without any runtime for the rest, and wait
//! no longer than [`support::LIMIT`](crate::support::LIMIT) for anything.

// Each test file is a crate of its own, and none of them uses all of this.
#![allow(dead_code, unreachable_pub)]
// A test says what it expects by failing, here as in the functions marked #[test].
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
// And of all that a peer may say it names what it expects.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proto::tls::{KeyExchange, client_config, pin_of, server_config, server_name};
use proto::{BridgeConf, ClientMessage, Endpoint, Hello, HostMessage, Key, Purpose, SessionId};
use proto::{ClientSeed, HELLO_HEADER, Pin, SUBPROTOCOL, UPGRADE_PATH};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request as HttpRequest};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::{Bridge, LIMIT};

/// What a bridge printed, taken apart.
pub fn conf(text: &str) -> BridgeConf {
    BridgeConf::parse(text).unwrap()
}

/// A conf as a client gets it.
pub fn text(conf: &BridgeConf) -> String {
    String::from_utf8(conf.to_text().expose().to_vec()).unwrap()
}

/// The conf with these endpoints alone, and `port` for what has none of its own.
pub fn leading_to(conf: &BridgeConf, port: u16, endpoints: &[&str]) -> String {
    let endpoints = endpoints.iter().map(|endpoint| match endpoint.parse() {
        Ok(ip) => Endpoint::Address(ip),
        Err(_) => endpoint.parse().unwrap(),
    });
    text(&BridgeConf { port, endpoints: endpoints.collect(), ..conf.clone() })
}

pub fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// What a client of `conf` says in the handshake.
pub fn tls_of(conf: &BridgeConf) -> ClientConfig {
    client_config(conf.pin, &conf.client_seed).unwrap()
}

/// The certificate, with its key, that a client of `conf` presents.
pub fn certificate_of(conf: &BridgeConf) -> Arc<CertifiedKey> {
    tls_of(conf).client_auth_cert_resolver.resolve(&[], &[SignatureScheme::ED25519]).unwrap()
}

/// Connects, and waits for nothing longer than the limit.
pub fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(tcp: TcpStream) -> TcpStream {
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.set_write_timeout(Some(LIMIT)).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

// ---- clients ----

/// A TLS connection to a bridge.
pub struct Dialled(pub StreamOwned<ClientConnection, TcpStream>);

impl Dialled {
    /// As a client of the conf `text` dials its bridge on this machine.
    pub fn to(text: &str) -> io::Result<Self> {
        let conf = conf(text);
        Self::with(([127, 0, 0, 1], conf.port).into(), tls_of(&conf))
    }

    /// Runs the handshake to the client's end of it. The bridge may not have judged the client then.
    pub fn with(address: SocketAddr, tls: ClientConfig) -> io::Result<Self> {
        let mut tcp = connect(address);
        let mut tls = ClientConnection::new(Arc::new(tls), server_name()).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self(StreamOwned::new(tls, tcp)))
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end of the connection. A bridge that closes sends no `close_notify`.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => panic!("{error} after {bytes:?}"),
            Ok(_) | Err(_) => bytes,
        }
    }

    /// As [`Self::read_to_end`], where the end may as well be a reset: the bridge had not read all that was sent.
    pub fn read_what_there_is(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end after {bytes:?}"),
            Ok(_) | Err(_) => bytes,
        }
    }

    /// The upgrade, with `hello`.
    pub fn upgrade(self, hello: &Hello) -> Result<Client, Box<tungstenite::Error>> {
        self.upgrade_with(upgrade_request(hello))
    }

    /// The upgrade, with any request.
    pub fn upgrade_with(self, request: HttpRequest<()>) -> Result<Client, Box<tungstenite::Error>> {
        match tungstenite::client::client_with_config(request, self.0, Some(lenient())) {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("no answer to the upgrade request"),
        }
    }
}

/// A websocket that reads and writes whatever the test wants.
fn lenient() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}

pub fn upgrade_request(hello: &Hello) -> HttpRequest<()> {
    upgrade_request_with(&hello.to_header())
}

/// An upgrade request with any value of the hello's header.
pub fn upgrade_request_with(hello: &str) -> HttpRequest<()> {
    let mut request = format!("ws://bridge{UPGRADE_PATH}").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(HELLO_HEADER, HeaderValue::from_str(hello).unwrap());
    request
}

/// The hello of a new session.
pub fn hello(wanted: &[&str]) -> Hello {
    Hello { purpose: Purpose::Session, resume: None, keys: keys(wanted), agent: None }
}

/// The HTTP status with which an upgrade was refused.
pub fn status(refused: Result<Client, Box<tungstenite::Error>>) -> u16 {
    match refused.map_err(|error| *error) {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("no status, but {other}"),
        Ok(_) => panic!("admitted"),
    }
}

/// A message of the bridge that does not borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Welcome(SessionId),
    Length(u32, u64),
    Chunk(u32, Vec<u8>),
    Refused(u32, proto::RefusalReason),
    Offers(Vec<Key>),
    Ending,
    /// What comes with the agent: known hosts, and repositories with a key.
    Agent(Vec<String>, Vec<String>),
    /// Whether the agent's keys are the same for all servers, and the keys.
    Identities(bool, Vec<proto::agent::Identity>),
    /// An answer on a channel, and why it is no.
    Answer(u32, Vec<u8>, String),
    /// A close frame with this code.
    Closed(Option<u16>),
    /// The end of the connection without one.
    Gone,
}

/// A session by hand.
pub struct Client {
    pub socket: WebSocket<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    /// A session with the bridge of `text`, past its `welcome`.
    pub fn begin(text: &str, wanted: &[&str]) -> (Self, SessionId) {
        Self::greeted(text, &hello(wanted))
    }

    /// As [`Self::begin`], with any hello that begins or continues a session.
    pub fn greeted(text: &str, hello: &Hello) -> (Self, SessionId) {
        let mut client = Dialled::to(text).unwrap().upgrade(hello).unwrap();
        match client.next() {
            Said::Welcome(session) => (client, session),
            other => panic!("no welcome, but {other:?}"),
        }
    }

    /// The bridge's next message.
    pub fn next(&mut self) -> Said {
        loop {
            return match self.socket.read() {
                Ok(Message::Binary(payload)) => said(HostMessage::decode(&payload).unwrap()),
                Ok(Message::Close(frame)) => Said::Closed(frame.map(|frame| frame.code.into())),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(other) => panic!("{other:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the bridge says nothing")
                }
                Err(_) => Said::Gone,
            };
        }
    }

    /// The rest of one secret whose `length` came.
    pub fn bytes_of(&mut self, request: u32, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            match self.next() {
                Said::Chunk(number, part) if number == request => bytes.extend(part),
                other => panic!("no chunk of request {request}, but {other:?}"),
            }
        }
        bytes
    }

    pub fn get(&mut self, first: u32, wanted: Vec<Key>) {
        self.send(Message::binary(ClientMessage::Get { first, keys: wanted }.encode()));
    }

    pub fn send(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// Says that it has all it wants.
    pub fn close(mut self) {
        self.socket.close(None).unwrap();
        self.socket.flush().unwrap();
    }
}

fn said(message: HostMessage<'_>) -> Said {
    match message {
        HostMessage::Welcome { session, .. } => Said::Welcome(session),
        HostMessage::Length { request, length } => Said::Length(request, length),
        HostMessage::Chunk { request, bytes } => Said::Chunk(request, bytes.to_vec()),
        HostMessage::Refused { request, reason, .. } => Said::Refused(request, reason),
        HostMessage::Offers { keys, .. } => Said::Offers(keys),
        HostMessage::Ending => Said::Ending,
        HostMessage::Agent { known_hosts, git_keys } => Said::Agent(
            known_hosts.iter().map(|line| line.as_str().to_owned()).collect(),
            git_keys.iter().map(|git_key| git_key.repository.to_string()).collect(),
        ),
        HostMessage::Identities { fixed, identities } => Said::Identities(fixed, identities),
        HostMessage::Answer { channel, answer, refusal } => {
            Said::Answer(channel, answer.into_owned(), refusal.to_string())
        }
    }
}

/// The alert with which a bridge refuses a client that speaks `tls`; it says all it has to say before it reads.
pub fn alert(address: SocketAddr, tls: ClientConfig) -> AlertDescription {
    let refused = Dialled::with(address, tls).and_then(|mut dialled| {
        let request = "GET / HTTP/1.1\r\nHost: bridge\r\n\r\n".repeat(2000);
        // The bridge may have closed its half already; what it said is read below.
        let _ = dialled.0.write_all(request.as_bytes()).and_then(|()| dialled.0.flush());
        dialled.0.read(&mut [0; 1024])
    });
    let error = refused.unwrap_err();
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert, but {error:?}"),
    }
}

// ---- what the bridge wrote down ----

/// The file to give to `--audit` of a bridge whose [`records`] are wanted.
pub const AUDIT: &str = "audit.jsonl";

/// The audit records of `--audit` [`AUDIT`], once the bridge has ended.
pub fn records(bridge: &Bridge) -> Vec<Value> {
    bridge.process.signal(rustix::process::Signal::TERM);
    bridge.process.exits();
    bridge.home.read(AUDIT).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of one kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["record"] == kind).collect()
}

/// The refused handshakes in sum, by cause.
pub fn refused_handshakes(records: &[Value]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for record in of_kind(records, "handshakes-refused") {
        for (cause, count) in record["causes"].as_object().unwrap() {
            *sums.entry(cause.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    sums
}

/// Resident memory of the bridge's process, in KiB.
#[cfg(target_os = "linux")]
pub fn resident(bridge: &Bridge) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.process.pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

// ---- bridges ----

/// A CA and a leaf under it, as a bridge mints them.
pub struct Chain {
    pub certificates: Vec<CertificateDer<'static>>,
    pub leaf_key: PrivateKeyDer<'static>,
    pub pin: Pin,
}

impl Chain {
    pub fn mint() -> Self {
        let ca_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = params.self_signed(&ca_key).unwrap();
        let pin = pin_of(&ca_key.subject_public_key_info());
        let leaf_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let leaf = CertificateParams::default();
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, ca_key)).unwrap();
        Self {
            certificates: vec![leaf.der().clone(), ca.der().clone()],
            leaf_key: PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into(),
            pin,
        }
    }
}

/// Presents a chain with a key that need not be its own.
#[derive(Debug)]
pub struct Presents(pub Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Presents {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Presents no certificate when it is asked for one.
#[derive(Debug)]
pub struct PresentsNothing;

impl ResolvesClientCert for PresentsNothing {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Believes whoever answers, or asks.
#[derive(Debug)]
pub struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Credulous {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A listener at a free port of loopback.
pub fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A bridge that has the pin of its conf, and does what a test tells it.
pub struct FakeBridge {
    /// Leads to it.
    pub conf: String,
    conversation: JoinHandle<()>,
}

/// The fake bridge's end of a websocket.
pub type Served = WebSocket<StreamOwned<ServerConnection, TcpStream>>;

impl FakeBridge {
    /// Every connection is upgraded, and then handed to `converse` with its hello. When that returns, the
    /// connection is closed as its last act left it.
    pub fn that(converse: impl FnMut(&mut Served, Hello) + Send + 'static) -> Self {
        Self::times(1, converse)
    }

    /// As [`Self::that`], for so many connections; then it listens no more.
    pub fn times(connections: usize, mut converse: impl FnMut(&mut Served, Hello) + Send + 'static) -> Self {
        let chain = Chain::mint();
        let seed = ClientSeed::new([7; 32]);
        let client = proto::client_certificate::public_key(&seed).unwrap();
        let tls = server_config(chain.certificates, chain.leaf_key, client, KeyExchange::Hybrid).unwrap();
        let (tls, (listener, port)) = (Arc::new(tls), listen());
        let endpoints = vec![Endpoint::Address([127, 0, 0, 1].into())];
        let conf = BridgeConf { expiry: None, port, pin: chain.pin, client_seed: seed, endpoints };
        let conversation = thread::spawn(move || {
            for _ in 0..connections {
                let tcp = patient(listener.accept().unwrap().0);
                let tls = ServerConnection::new(Arc::clone(&tls)).unwrap();
                let (mut socket, hello) = upgraded(StreamOwned::new(tls, tcp));
                converse(&mut socket, hello);
            }
        });
        Self { conf: text(&conf), conversation }
    }

    /// Waits for the end of its last connection, and fails as it did.
    pub fn has_conversed(self) {
        if let Err(panic) = self.conversation.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn upgraded(stream: StreamOwned<ServerConnection, TcpStream>) -> (Served, Hello) {
    let mut hello = None;
    // The error's size is tungstenite's.
    #[allow(clippy::result_large_err)]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        hello = Some(Hello::from_header(request.headers()[HELLO_HEADER].to_str().unwrap()).unwrap());
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    let socket = tungstenite::accept_hdr_with_config(stream, callback, Some(lenient())).unwrap();
    (socket, hello.unwrap())
}

/// Says `message` to the client.
pub fn say(socket: &mut Served, message: &HostMessage<'_>) {
    socket.send(Message::binary(message.encode())).unwrap();
}

/// Says `welcome` to the client.
pub fn welcome(socket: &mut Served) {
    say(socket, &HostMessage::Welcome { session: SessionId([9; 16]), agents: vec![] });
}

/// Waits until the client closes or drops the connection. Whatever it asks for meanwhile is passed over.
pub fn until_closed(socket: &mut Served) {
    while socket.read().is_ok() {}
}

/// A connection that remembers every byte that came from the peer.
struct Recorded {
    tcp: TcpStream,
    received: Vec<u8>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.tcp.read(buffer)?;
        self.received.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// What an impostor learnt of a client.
pub struct Learnt {
    /// How the handshake failed, from the impostor's side.
    pub error: rustls::Error,
    /// Every TLS record that the client sent: its outer type and length.
    pub records: Vec<(u8, usize)>,
}

/// Somebody at 127.0.0.1 who is not the bridge and speaks `tls`, for one connection. Its port, and what it learns.
pub fn impostor(tls: ServerConfig) -> (u16, JoinHandle<Learnt>) {
    let (listener, port) = listen();
    let learnt = thread::spawn(move || {
        let mut stream = Recorded { tcp: patient(listener.accept().unwrap().0), received: Vec::new() };
        let mut tls = ServerConnection::new(Arc::new(tls)).unwrap();
        let error = loop {
            match tls.complete_io(&mut stream) {
                Ok(_) if tls.is_handshaking() => {}
                Ok(_) => panic!("the client believes the impostor"),
                Err(error) => break *error.into_inner().unwrap().downcast::<rustls::Error>().unwrap(),
            }
        };
        // Whatever may still come, up to the client's end of the connection.
        let _ = io::copy(&mut stream, &mut io::sink());
        Learnt { error, records: tls_records(&stream.received) }
    });
    (port, learnt)
}

/// Type and length of each TLS record (RFC 8446, 5.1).
pub fn tls_records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        bytes = &rest[length.min(rest.len())..];
    }
    records
}

/// The number of a close code, for comparisons.
pub fn closed(code: CloseCode) -> Said {
    Said::Closed(Some(code.into()))
}
