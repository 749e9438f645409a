//! Fake bridges: one that has the pin of its conf, and one that has not.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proto::tls::{KeyExchange, server_config};
use proto::{BridgeConf, ClientSeed, Endpoint, HELLO_HEADER, Hello, HostMessage, SUBPROTOCOL, SessionId};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{Chain, lenient, listen, patient, text};
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
