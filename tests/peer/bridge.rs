//! Fake bridges: one whose certificate matches the pin of its conf, and an impostor.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proto::tls::{KeyExchange, server_config};
use proto::{BridgeConf, ClientSeed, Endpoint, HELLO_HEADER, Hello, HostMessage, SUBPROTOCOL};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{Chain, listen, text, with_timeouts, without_size_limits};

/// A bridge whose certificate matches the pin of its conf. A test decides what it sends.
pub struct FakeBridge {
    /// The conf that leads to it.
    pub conf: String,
    thread: JoinHandle<()>,
}

/// The fake bridge's end of a TLS connection.
pub type TlsServer = StreamOwned<ServerConnection, TcpStream>;

/// The fake bridge's end of a websocket.
pub type ServerSocket = WebSocket<TlsServer>;

impl FakeBridge {
    /// Upgrades one connection, and hands it to `handle` with the client's hello. The connection is dropped when
    /// `handle` returns, without a further close handshake.
    pub fn new(handle: impl FnMut(&mut ServerSocket, Hello) + Send + 'static) -> Self {
        Self::for_connections(1, handle)
    }

    /// As [`Self::new`], for this number of connections; then the listener is closed.
    pub fn for_connections(
        connections: usize,
        mut handle: impl FnMut(&mut ServerSocket, Hello) + Send + 'static,
    ) -> Self {
        Self::with_tls(connections, move |stream| {
            let (mut socket, hello) = upgraded(stream);
            handle(&mut socket, hello);
        })
    }

    /// Hands each of this number of connections to `handle`, before or during the TLS handshake.
    pub fn with_tls(connections: usize, mut handle: impl FnMut(TlsServer) + Send + 'static) -> Self {
        let chain = Chain::mint();
        let seed = ClientSeed::new([7; 32]);
        let client = proto::client_certificate::public_key(&seed).unwrap();
        let tls = server_config(chain.certificates, chain.leaf_key, client, KeyExchange::Hybrid).unwrap();
        let (tls, (listener, port)) = (Arc::new(tls), listen());
        let endpoints = vec![Endpoint::Address([127, 0, 0, 1].into())];
        let conf = BridgeConf { expiry: None, port, pin: chain.pin, client_seed: seed, endpoints };
        let thread = thread::spawn(move || {
            for _ in 0..connections {
                let tcp = with_timeouts(listener.accept().unwrap().0);
                let tls = ServerConnection::new(Arc::clone(&tls)).unwrap();
                handle(StreamOwned::new(tls, tcp));
            }
        });
        Self { conf: text(&conf), thread }
    }

    /// Waits for the end of the last connection, and panics if `handle` did.
    pub fn finishes(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Upgrades the connection to a websocket, and returns the client's hello.
pub fn upgraded(stream: TlsServer) -> (ServerSocket, Hello) {
    let mut hello = None;
    // The error's size is tungstenite's.
    #[allow(clippy::result_large_err)]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        hello = Some(Hello::from_header(request.headers()[HELLO_HEADER].to_str().unwrap()).unwrap());
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    let socket = tungstenite::accept_hdr_with_config(stream, callback, Some(without_size_limits())).unwrap();
    (socket, hello.unwrap())
}

/// Sends `message` to the client.
pub fn send(socket: &mut ServerSocket, message: &HostMessage<'_>) {
    socket.send(Message::binary(message.encode())).unwrap();
}

/// Sends `welcome` to the client.
pub fn welcome(socket: &mut ServerSocket) {
    send(socket, &HostMessage::Welcome { agents: vec![] });
}

/// Waits until the client closes or drops the connection; ignores its messages.
pub fn until_closed(socket: &mut ServerSocket) {
    while socket.read().is_ok() {}
}

/// A connection that records every byte from the peer.
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

/// What an impostor saw of a client.
pub struct Observed {
    /// How the handshake failed, from the impostor's side.
    pub error: rustls::Error,
    /// Every TLS record that the client sent: its outer type and length.
    pub records: Vec<(u8, usize)>,
}

/// A server at 127.0.0.1 that is not the bridge and accepts one connection with `tls`. Returns its port, and what it
/// saw.
pub fn impostor(tls: ServerConfig) -> (u16, JoinHandle<Observed>) {
    let (listener, port) = listen();
    let observed = thread::spawn(move || {
        let mut stream = Recorded { tcp: with_timeouts(listener.accept().unwrap().0), received: Vec::new() };
        let mut tls = ServerConnection::new(Arc::new(tls)).unwrap();
        let error = loop {
            match tls.complete_io(&mut stream) {
                Ok(_) if tls.is_handshaking() => {}
                Ok(_) => panic!("the client accepted the impostor"),
                Err(error) => break *error.into_inner().unwrap().downcast::<rustls::Error>().unwrap(),
            }
        };
        // Reads the rest, until the client closes the connection.
        let _ = io::copy(&mut stream, &mut io::sink());
        Observed { error, records: tls_records(&stream.received) }
    });
    (port, observed)
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
