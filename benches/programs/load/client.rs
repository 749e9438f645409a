//! A client with the conf that does what it likes: the protocol's messages, or raw bytes, over one connection.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::fill;
use proto::tls::server_name;
use proto::{ClientMessage, HELLO_HEADER, Hello, Key, Purpose, SUBPROTOCOL, SessionId, UPGRADE_PATH};
use rustls::{ClientConnection, StreamOwned};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::{Peer, Result};

/// A connect, read or write that takes longer fails.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A session.
pub(crate) struct Client {
    pub(crate) socket: WebSocket<TlsStream>,
}

/// Connects, and completes the client's side of the handshake.
pub(crate) fn dial(peer: &Peer) -> Result<TlsStream> {
    let mut tcp = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, peer.conf.port).into(), TIMEOUT)?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_write_timeout(Some(TIMEOUT))?;
    tcp.set_nodelay(true)?;
    let mut tls = ClientConnection::new(Arc::new(peer.tls()?), server_name())?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

/// The hello of a new session.
pub(crate) fn hello(keys: &[&str], agent: bool) -> Result<Hello> {
    let keys = keys.iter().map(|key| key.parse()).collect::<Result<Vec<Key>, _>>()?;
    let agent = if agent { Some("default".parse()?) } else { None };
    let mut session = SessionId::NONE;
    fill(&mut session.0)?;
    Ok(Hello { purpose: Purpose::Session, session, resume: false, parent: None, keys, agent, http: false })
}

fn upgrade_request(hello: &Hello) -> Result<Request<()>> {
    let mut request = format!("ws://bridge{UPGRADE_PATH}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(HELLO_HEADER, HeaderValue::from_str(&hello.to_header())?);
    Ok(request)
}

impl Client {
    /// Begins a session.
    pub(crate) fn begin(peer: &Peer, hello: &Hello) -> Result<Self> {
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        // Small, for thousands of sessions.
        let limits = limits.read_buffer_size(4 << 10).write_buffer_size(0);
        match tungstenite::client::client_with_config(upgrade_request(hello)?, dial(peer)?, Some(limits)) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(error.into()),
            Err(tungstenite::HandshakeError::Interrupted(_)) => {
                Err("no answer to the upgrade request".into())
            }
        }
    }

    pub(crate) fn send(&mut self, message: &ClientMessage<'_>) -> Result<()> {
        Ok(self.socket.send(Message::binary(message.encode()))?)
    }

    /// Writes bytes of frames as they are, past the websocket.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.socket.get_mut();
        stream.write_all(bytes)?;
        Ok(stream.flush()?)
    }

    /// Reads one message of the bridge.
    pub(crate) fn read(&mut self) -> Result<Message> {
        Ok(self.socket.read()?)
    }
}

/// The header of a client's frame with a mask of zeros, which changes no byte (RFC 6455, 5.2). `first` is its first byte.
pub(crate) fn frame_header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first, 0x80 | 127];
    header.extend(length.to_be_bytes());
    header.extend([0; 4]);
    header
}
