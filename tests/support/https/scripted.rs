//! A TLS server whose every answer a test writes itself, byte by byte if it likes: echoes, refusals, redirects, answers that
//! come early, slowly, or never to an end.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::net::sockopt::set_socket_linger;
use rustls::{ServerConnection, StreamOwned};

use super::authority::Authority;
use crate::support::LIMIT;

/// The server. It listens until the test ends.
pub struct Scripted {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Asked>,
    connections: usize,
    ended: usize,
}

/// A request, as far as its head goes.
#[derive(Clone, Debug)]
pub struct Asked {
    /// All lines of the head, as they came.
    pub head: String,
    /// The number of its connection, from 1.
    pub connection: usize,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It takes the next request.
    Keep,
    /// It ends as TLS demands, with close_notify.
    Close,
    /// It breaks: a reset, without close_notify.
    Cut,
}

/// The connection to which an answer is written.
pub struct Connection {
    tls: BufReader<StreamOwned<ServerConnection, TcpStream>>,
}

impl Asked {
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The target of the request line.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header; `None` if there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// The values of all headers of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

impl Connection {
    /// The body of a request.
    pub fn body(&mut self, asked: &Asked) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = asked.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.tls.read_exact(&mut body)?;
        } else if asked.header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                self.tls.read_line(&mut line)?;
                let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                let start = body.len();
                body.resize(start + length, 0);
                self.tls.read_exact(&mut body[start..])?;
                self.tls.read_line(&mut line)?;
                if length == 0 {
                    break;
                }
            }
        }
        Ok(body)
    }

    /// Writes an answer with this body. `headers` are whole lines, each ended by CRLF.
    pub fn answer(&mut self, status: &str, headers: &str, body: impl AsRef<[u8]>) -> io::Result<()> {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.write_all(&[head.as_bytes(), body].concat())
    }

    /// Asks a plain HTTP server the same, and answers with its answer.
    pub fn forward(&mut self, asked: &Asked, behind: SocketAddr) -> io::Result<()> {
        let mut server = TcpStream::connect(behind)?;
        let host = asked.header("host").unwrap_or_default();
        let accept = asked.header("accept").unwrap_or("*/*");
        let headers = format!("Host: {host}\r\nX-Forwarded-Proto: https\r\nAccept: {accept}\r\n");
        write!(server, "{} {} HTTP/1.0\r\n{headers}\r\n", asked.method(), asked.target())?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let end =
            answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap_or("502").to_owned();
        let kind = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-type:"));
        let headers = kind.map(|line| format!("{line}\r\n")).unwrap_or_default();
        self.answer(&format!("{status} Answer"), &headers, &answer[end..])
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let tls = self.tls.get_mut();
        let length = tls.write(bytes)?;
        tls.flush()?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tls.get_mut().flush()
    }
}

impl Scripted {
    /// Listens on loopback with a certificate for `names`. `answer` is called for each request, and may read its body.
    pub fn start(
        authority: &Authority,
        names: &[&str],
        answer: impl Fn(&Asked, &mut Connection) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0), authority, names, answer)
    }

    /// As [`Self::start`], at a chosen address.
    pub fn start_at(
        (address, port): (impl Into<IpAddr>, u16),
        authority: &Authority,
        names: &[&str],
        answer: impl Fn(&Asked, &mut Connection) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address.into(), port)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let config = Arc::new(authority.leaf(names).server());
        let (accepting, answer) = (Arc::clone(&shared), Arc::new(answer));
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (shared, config) = (Arc::clone(&accepting), Arc::clone(&config));
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let number = shared.change(|state| {
                        state.connections += 1;
                        state.connections
                    });
                    // The test sees what the client made of a connection that broke.
                    let _ = shared.serve(tcp, config, number, &*answer);
                    shared.change(|state| state.ended += 1);
                });
            }
        });
        Self { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.change(|state| state.requests.clone())
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.change(|state| state.connections)
    }

    /// Waits until this many requests have come.
    pub fn waits_for_requests(&self, count: usize) {
        self.waits(|state| state.requests.len() >= count);
    }

    /// Waits until this many connections have ended.
    pub fn waits_for_ends(&self, count: usize) {
        self.waits(|state| state.ended >= count);
    }

    fn waits(&self, mut done: impl FnMut(&State) -> bool) {
        let deadline = Instant::now() + LIMIT;
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            let heads: Vec<_> = state.requests.iter().map(|asked| &asked.head).collect();
            assert!(!left.is_zero(), "timed out; {} of {} ended: {heads:?}", state.ended, state.connections);
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    fn serve(
        &self,
        tcp: TcpStream,
        config: Arc<rustls::ServerConfig>,
        connection: usize,
        answer: &(dyn Fn(&Asked, &mut Connection) -> io::Result<Then> + Send + Sync),
    ) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let tls = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, tcp);
        let mut this = Connection { tls: BufReader::new(tls) };
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if this.tls.read_until(b'\n', &mut head)? == 0 {
                    return Ok(());
                }
            }
            let asked = Asked { head: String::from_utf8_lossy(&head).into_owned(), connection };
            self.change(|state| state.requests.push(asked.clone()));
            match answer(&asked, &mut this)? {
                Then::Keep => {}
                Then::Close => {
                    let tls = this.tls.get_mut();
                    tls.conn.send_close_notify();
                    return tls.flush();
                }
                Then::Cut => {
                    set_socket_linger(&this.tls.get_ref().sock, Some(std::time::Duration::ZERO))?;
                    return Ok(());
                }
            }
        }
    }
}
