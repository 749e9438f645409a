//! Clients that a test drives message by message.

// A test names the messages that it expects, and fails for all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use proto::knock::Nonce;
use proto::tls::{client_config, server_name};
use proto::{
    BridgeConf, ClientMessage, HELLO_HEADER, Hello, HostMessage, Key, Purpose, SUBPROTOCOL, SessionId,
    UPGRADE_PATH,
};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ClientConnection, SignatureScheme, StreamOwned};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request as HttpRequest};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{conf, connect, without_size_limits};

pub fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The TLS configuration of one connection of a client of `conf`: its knock is accepted once.
pub fn tls_of(conf: &BridgeConf) -> ClientConfig {
    client_config(conf.pin, &conf.client_seed).unwrap().for_connection(nonce())
}

/// A nonce that no other connection of the tests uses.
fn nonce() -> Nonce {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    Nonce(nonce)
}

/// The certificate, with its key, that a client of `conf` presents.
pub fn certificate_of(conf: &BridgeConf) -> Arc<CertifiedKey> {
    tls_of(conf).client_auth_cert_resolver.resolve(&[], &[SignatureScheme::ED25519]).unwrap()
}

/// A TLS connection to a bridge.
pub struct TlsClient(pub StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// Connects as a client of the conf `text`, at loopback.
    pub fn to(text: &str) -> io::Result<Self> {
        let conf = conf(text);
        Self::with(([127, 0, 0, 1], conf.port).into(), tls_of(&conf))
    }

    /// Completes the client's side of the handshake. The bridge may still refuse the client afterwards (TLS 1.3).
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

    /// Reads to the end of the connection. A bridge sends no `close_notify`, and the end is a reset if it had not read
    /// everything that was sent.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end after {bytes:?}"),
            Ok(_) | Err(_) => bytes,
        }
    }

    /// Upgrades to a websocket with `hello`.
    pub fn upgrade(self, hello: &Hello) -> Result<Client, Box<tungstenite::Error>> {
        self.upgrade_with(upgrade_request(hello))
    }

    /// Upgrades to a websocket with any request.
    pub fn upgrade_with(self, request: HttpRequest<()>) -> Result<Client, Box<tungstenite::Error>> {
        match tungstenite::client::client_with_config(request, self.0, Some(without_size_limits())) {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("no answer to the upgrade request"),
        }
    }
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
    Hello { session: new_session(), keys: keys(wanted), ..Hello::without_session(Purpose::Session) }
}

/// An id that no other session has.
pub fn new_session() -> SessionId {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).unwrap();
    SessionId(id)
}

/// The hello of a redial: `hello` for the session `session`, which got its `welcome`.
pub fn resuming(session: SessionId, hello: Hello) -> Hello {
    Hello { session, resume: true, ..hello }
}

/// The HTTP status with which an upgrade was refused.
pub fn status(refused: Result<Client, Box<tungstenite::Error>>) -> u16 {
    match refused.map_err(|error| *error) {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("no status, but {other}"),
        Ok(_) => panic!("accepted"),
    }
}

/// What came from the bridge: an owned message, or the end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Welcome,
    Waiting,
    Length(u32, u64),
    Chunk(u32, Vec<u8>),
    Refused(u32, proto::RefusalReason),
    Offers(Vec<Key>),
    Ending,
    /// The origins that have rules, each with whether plain requests pass.
    Origins(Vec<(String, bool)>),
    /// The setup of an agent: known hosts, and the repositories that have a key.
    Agent(Vec<String>, Vec<String>),
    /// Whether the keys are the same for all servers, and the keys.
    Identities(bool, Vec<proto::agent::Identity>),
    /// An answer on a channel, and the reason if it is a refusal.
    Answer(u32, Vec<u8>, String),
    /// A close frame with this code.
    Closed(Option<u16>),
    /// The end of the connection without a close frame.
    Gone,
}

/// One session.
pub struct Client {
    pub socket: WebSocket<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    /// Starts a session with the bridge of the conf `text`, and reads its `welcome`.
    pub fn begin(text: &str, wanted: &[&str]) -> (Self, SessionId) {
        Self::with_hello(text, &hello(wanted))
    }

    /// As [`Self::begin`], with any hello that starts or resumes a session.
    pub fn with_hello(text: &str, hello: &Hello) -> (Self, SessionId) {
        let mut client = TlsClient::to(text).unwrap().upgrade(hello).unwrap();
        match client.next() {
            Received::Welcome => (client, hello.session),
            other => panic!("no welcome, but {other:?}"),
        }
    }

    /// The bridge's next message.
    pub fn next(&mut self) -> Received {
        loop {
            return match self.socket.read() {
                Ok(Message::Binary(payload)) => received(HostMessage::decode(&payload).unwrap()),
                Ok(Message::Close(frame)) => Received::Closed(frame.map(|frame| frame.code.into())),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(other) => panic!("{other:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the bridge sends nothing")
                }
                Err(_) => Received::Gone,
            };
        }
    }

    /// Reads the chunks of a secret whose `length` came.
    pub fn bytes_of(&mut self, request: u32, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            match self.next() {
                Received::Chunk(number, part) if number == request => bytes.extend(part),
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

    /// Sends a close frame.
    pub fn close(mut self) {
        self.socket.close(None).unwrap();
        self.socket.flush().unwrap();
    }
}

fn received(message: HostMessage<'_>) -> Received {
    match message {
        HostMessage::Welcome { .. } => Received::Welcome,
        HostMessage::Waiting => Received::Waiting,
        HostMessage::Length { request, length } => Received::Length(request, length),
        HostMessage::Chunk { request, bytes } => Received::Chunk(request, bytes.to_vec()),
        HostMessage::Refused { request, reason, .. } => Received::Refused(request, reason),
        HostMessage::Offers { keys, .. } => Received::Offers(keys),
        HostMessage::Ending => Received::Ending,
        HostMessage::Origins { origins } => {
            Received::Origins(origins.iter().map(|ruled| (ruled.origin.to_string(), ruled.plain)).collect())
        }
        HostMessage::Agent { known_hosts, git_keys } => Received::Agent(
            known_hosts.iter().map(|line| line.as_str().to_owned()).collect(),
            git_keys.iter().map(|git_key| git_key.repository.to_string()).collect(),
        ),
        HostMessage::Identities { fixed, identities } => Received::Identities(fixed, identities),
        HostMessage::Answer { channel, answer, refusal } => {
            Received::Answer(channel, answer.into_owned(), refusal.to_string())
        }
    }
}

/// The alert with which a bridge refuses a client with `tls`. The client sends its whole request before it reads.
pub fn alert(address: SocketAddr, tls: ClientConfig) -> AlertDescription {
    let refused = TlsClient::with(address, tls).and_then(|mut tls| {
        let request = "GET / HTTP/1.1\r\nHost: bridge\r\n\r\n".repeat(2000);
        // The write fails if the bridge has closed the connection already; its alert is read below.
        let _ = tls.0.write_all(request.as_bytes()).and_then(|()| tls.0.flush());
        tls.0.read(&mut [0; 1024])
    });
    let error = refused.unwrap_err();
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert, but {error:?}"),
    }
}

/// The close frame with this code, for comparisons.
pub fn closed(code: CloseCode) -> Received {
    Received::Closed(Some(code.into()))
}
