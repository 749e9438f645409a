//! Bridges whose certificate has the pin of their conf, and that then send what no bridge may, without end.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use proto::agent::Identity;
use proto::limits::{CHUNK, MAX_COMMENT, MAX_DETAIL, MAX_PUBLIC_KEY, MAX_SECRET};
use proto::{BridgeConf, ClientSeed, Endpoint, HostMessage, RefusalReason, SUBPROTOCOL, Untrusted};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, WebSocket};

use crate::stop::wait_for_end_of_stdin;
use crate::{Result, bare_tls};

/// What the bridge does once a client has connected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Accepts the connection, and is silent.
    NoHandshake,
    /// Completes the handshake, and never answers the upgrade request.
    NoUpgrade,
    /// Answers it with header lines without end.
    Headers,
    /// Answers it, and never sends `welcome`.
    NoWelcome,
    /// Says that the client is in line, without a pause.
    Waiting,
    /// Sends pings instead.
    Pings,
    /// Sends parts of a message whose end never comes.
    Fragments,
    /// Announces a frame of 2^63 bytes, and sends them.
    Frame,
    /// Sends `welcome` again and again.
    Welcomes,
    /// Announces a secret that is too large.
    Length,
    /// Announces the largest secret, and sends chunks without end.
    Chunks,
    /// Refuses the same secret again and again.
    Refusals,
    /// Sends the agent's keys again and again, as many as fit.
    Identities,
    /// Answers on channels that are not open.
    Answers,
    /// Closes every connection after `welcome`.
    Breaks,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "no-handshake" => Self::NoHandshake,
            "no-upgrade" => Self::NoUpgrade,
            "headers" => Self::Headers,
            "no-welcome" => Self::NoWelcome,
            "waiting" => Self::Waiting,
            "pings" => Self::Pings,
            "fragments" => Self::Fragments,
            "frame" => Self::Frame,
            "welcomes" => Self::Welcomes,
            "length" => Self::Length,
            "chunks" => Self::Chunks,
            "refusals" => Self::Refusals,
            "identities" => Self::Identities,
            "answers" => Self::Answers,
            "breaks" => Self::Breaks,
            _ => return Err(format!("unknown bridge {name:?}")),
        })
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;
type Socket = WebSocket<Stream>;

/// Serves until standard input ends. Prints the conf for its clients.
pub(crate) fn serve(kind: Kind) -> Result<()> {
    let client_seed = ClientSeed::new([7; 32]);
    let (config, pin) = bare_tls::config(&client_seed)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let endpoints = vec![Endpoint::Address(Ipv4Addr::LOCALHOST.into())];
    let conf = BridgeConf { expiry: None, port: listener.local_addr()?.port(), pin, client_seed, endpoints };
    println!("{{\"conf\":\"{}\"}}", String::from_utf8_lossy(conf.to_text().expose()));
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // Ends with an error when the client has had enough.
            thread::spawn(move || answer(kind, tcp, config));
        }
    });
    wait_for_end_of_stdin();
    Ok(())
}

fn answer(kind: Kind, tcp: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    tcp.set_nodelay(true)?;
    if kind == Kind::NoHandshake {
        return until_closed(tcp);
    }
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    match kind {
        Kind::NoUpgrade => return until_closed(stream),
        Kind::Headers => {
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n")?;
            loop {
                stream.write_all(b"X-Header: of no use to anyone\r\n")?;
            }
        }
        _ => {}
    }
    let mut socket = upgrade(stream)?;
    if !matches!(kind, Kind::NoWelcome | Kind::Waiting | Kind::Pings | Kind::Fragments | Kind::Frame) {
        send(&mut socket, &welcome()?)?;
    }
    attack(kind, &mut socket)?;
    until_closed(socket.get_mut())
}

fn attack(kind: Kind, socket: &mut Socket) -> Result<()> {
    match kind {
        Kind::Waiting => loop {
            send(socket, &HostMessage::Waiting)?;
        },
        Kind::Pings => loop {
            socket.send(Message::Ping(Bytes::from_static(&[7; 125])))?;
        },
        Kind::Fragments => {
            // Continuations of 16 KiB, of a message that the first of them begins.
            raw(socket, &[&[0x02, 126, 0x40, 0][..], &[0; 1 << 14]].concat())?;
            loop {
                raw(socket, &[&[0x00, 126, 0x40, 0][..], &[0; 1 << 14]].concat())?;
            }
        }
        Kind::Frame => {
            raw(socket, &[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])?;
            loop {
                raw(socket, &[0; 1 << 14])?;
            }
        }
        Kind::Welcomes => loop {
            send(socket, &welcome()?)?;
        },
        Kind::Length => send(socket, &HostMessage::Length { request: 0, length: u64::MAX }),
        Kind::Chunks => {
            send(socket, &HostMessage::Length { request: 0, length: MAX_SECRET })?;
            loop {
                send(socket, &HostMessage::Chunk { request: 0, bytes: &[b'x'; CHUNK] })?;
            }
        }
        Kind::Refusals => loop {
            let detail = Untrusted::new("\u{1b}".repeat(MAX_DETAIL));
            send(socket, &HostMessage::Refused { request: 0, reason: RefusalReason::SourceFailed, detail })?;
        },
        Kind::Identities => {
            send(socket, &HostMessage::Agent { known_hosts: Vec::new(), git_keys: Vec::new() })?;
            for round in 0..=u8::MAX {
                let identity =
                    |key| Identity { key: vec![key; MAX_PUBLIC_KEY], comment: vec![round; MAX_COMMENT] };
                let identities = (0..30).map(identity).collect();
                send(socket, &HostMessage::Identities { fixed: false, identities })?;
            }
            Ok(())
        }
        Kind::Answers => loop {
            let (answer, refusal) = (vec![5; 1 << 10].into(), Untrusted::new("no"));
            send(socket, &HostMessage::Answer { channel: 7, answer, refusal })?;
        },
        Kind::Breaks => Err("as intended".into()),
        Kind::NoHandshake | Kind::NoUpgrade | Kind::Headers | Kind::NoWelcome => Ok(()),
    }
}

fn welcome() -> Result<HostMessage<'static>> {
    Ok(HostMessage::Welcome { agents: vec!["default".parse()?] })
}

fn upgrade(stream: Stream) -> Result<Socket> {
    // The error's size is tungstenite's.
    #[allow(clippy::result_large_err)]
    let callback = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    tungstenite::accept_hdr(stream, callback).map_err(|error| error.to_string().into())
}

fn send(socket: &mut Socket, message: &HostMessage<'_>) -> Result<()> {
    Ok(socket.send(Message::binary(message.encode()))?)
}

/// Writes bytes of frames as they are, past the websocket.
fn raw(socket: &mut Socket, bytes: &[u8]) -> Result<()> {
    let stream = socket.get_mut();
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}

fn until_closed(mut stream: impl std::io::Read) -> Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
