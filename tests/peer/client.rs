//! Clients.

// Of all that a bridge may say, a test names what it expects.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

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

use super::{conf, connect, lenient};
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

    /// Everything up to the end of the connection. A bridge that closes sends no `close_notify`, and the end may as well
    /// be a reset, if the bridge had not read all that was sent.
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

/// The number of a close code, for comparisons.
pub fn closed(code: CloseCode) -> Said {
    Said::Closed(Some(code.into()))
}
