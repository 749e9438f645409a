//! Streams that a test drives message by message, and the server that they ask.

// A test names the messages that it expects, and fails for all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use proto::{Hello, Purpose, SessionId, StreamAnswer, StreamRequest};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Client, Received, TlsClient, hello};

/// What came on a stream, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnStream {
    Bytes(Vec<u8>),
    Idle(u64),
    Finished,
    Refusal(String),
    SignedUrl(Vec<u8>),
    /// A close frame with this code.
    Closed(Option<u16>),
    /// The end of the connection without a close frame.
    Gone,
}

/// One stream.
pub struct Stream {
    pub client: Client,
    /// Where its requests go.
    origin: String,
}

/// The hello of a session that asks for HTTP.
pub fn http_hello() -> Hello {
    Hello { http: true, ..hello(&[]) }
}

/// Begins a session that asks for HTTP. Returns the origins too.
pub fn begin_http(text: &str) -> (Client, SessionId, Vec<String>) {
    let (mut client, session) = Client::with_hello(text, &http_hello());
    match client.next() {
        Received::Origins(origins) => {
            (client, session, origins.into_iter().map(|(origin, _)| origin).collect())
        }
        other => panic!("no origins, but {other:?}"),
    }
}

impl Stream {
    /// Opens a stream of `session`.
    pub fn open(text: &str, session: SessionId) -> Self {
        Self::try_open(text, session).unwrap()
    }

    pub fn try_open(text: &str, session: SessionId) -> Result<Self, Box<tungstenite::Error>> {
        let hello = Hello { session, ..Hello::without_session(Purpose::Stream) };
        let client = TlsClient::to(text).unwrap().upgrade(&hello)?;
        Ok(Self { client, origin: String::new() })
    }

    pub fn connect(&mut self, origin: &str) {
        self.origin = origin.to_owned();
        let origin = origin.parse().unwrap();
        self.client.send(Message::binary(StreamRequest::Connect { origin }.encode()));
    }

    pub fn send(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(proto::limits::STREAM_CHUNK) {
            self.client.send(Message::binary(StreamRequest::Bytes { bytes }.encode()));
        }
    }

    /// The bridge's next message.
    pub fn next(&mut self) -> OnStream {
        loop {
            return match self.client.socket.read() {
                Ok(Message::Binary(payload)) => match StreamAnswer::decode(&payload).unwrap() {
                    StreamAnswer::Bytes { bytes } => OnStream::Bytes(bytes.to_vec()),
                    StreamAnswer::Idle { received } => OnStream::Idle(received),
                    StreamAnswer::Finished => OnStream::Finished,
                    StreamAnswer::Refusal { text } => OnStream::Refusal(text.to_string()),
                    StreamAnswer::SignedUrl { url } => OnStream::SignedUrl(url.to_vec()),
                },
                Ok(Message::Close(frame)) => OnStream::Closed(frame.map(|frame| frame.code.into())),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(other) => panic!("{other:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the bridge sends nothing")
                }
                Err(_) => OnStream::Gone,
            };
        }
    }

    /// Reads the bytes of an answer up to the message after them, which is returned too.
    pub fn answer(&mut self) -> (String, OnStream) {
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                OnStream::Bytes(part) => bytes.extend(part),
                OnStream::Refusal(_) => {}
                end => return (String::from_utf8(bytes).unwrap(), end),
            }
        }
    }

    /// Sends a request, and reads its answer.
    pub fn get(&mut self, path: &str) -> (String, OnStream) {
        let request = request(&self.origin, path);
        self.send(request.as_bytes());
        self.answer()
    }

    /// Whether it serves a request, as the first of its connection.
    #[track_caller]
    pub fn serves(&mut self, origin: &str) {
        self.connect(origin);
        let (answer, end) = self.get("/small");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
        assert!(matches!(end, OnStream::Idle(_)), "{end:?}");
    }
}

/// A GET of `path`.
pub fn request(origin: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {origin}\r\n\r\n")
}

/// A server without TLS that knows a few paths.
pub struct PlainServer {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether `/held` is answered, and a body is read.
    released: Mutex<bool>,
    release: Condvar,
    requests: Mutex<Vec<String>>,
}

impl PlainServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, state) = (connection.unwrap(), Arc::clone(&shared));
                thread::spawn(move || {
                    let _ = state.serve(connection);
                });
            }
        });
        Self { port, state }
    }

    pub fn origin(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets requests for `/held` and bodies go on.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() = true;
        self.state.release.notify_all();
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl State {
    fn wait(&self) {
        let mut released = self.released.lock().unwrap();
        while !*released {
            released = self.release.wait(released).unwrap();
        }
    }

    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
                let mut part = [0; 4096];
                match connection.read(&mut part)? {
                    0 => return Ok(()),
                    length => buffer.extend_from_slice(&part[..length]),
                }
                continue;
            };
            let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.trim().parse().unwrap());
            self.requests.lock().unwrap().push(head);
            let mut body = buffer.len().min(length);
            buffer.drain(..body);
            if length > 0 {
                self.wait();
            }
            while body < length {
                let mut part = vec![0; (length - body).min(1 << 16)];
                connection.read_exact(&mut part)?;
                body += part.len();
            }
            match path.as_str() {
                "/big" => {
                    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n")?;
                    let part = vec![0x5a; 1 << 16];
                    for _ in 0..BIG / part.len() {
                        connection.write_all(&part)?;
                    }
                }
                path => {
                    if path == "/held" {
                        self.wait();
                    }
                    let body = if length > 0 { format!("{length} bytes") } else { "hello".to_owned() };
                    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
                }
            }
        }
    }
}

/// Bytes of `/big`.
pub const BIG: usize = 64 << 20;
