//! Floods by peers without the client key.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Result as IoResult, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::stop::Stop;
use crate::{Peer, Result, client_hello};

/// What each connection of the flood does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says nothing, and waits for the bridge to close the connection.
    Silent,
    /// Sends a ClientHello byte by byte.
    Slow,
    /// Says nothing, and is kept open even when the bridge has closed its end.
    Open,
    Garbage,
    Http,
    /// Sends half of a ClientHello.
    Partial,
    /// Sends a ClientHello in TLS records of one byte each.
    Records,
    /// Sends the beginning of a ClientHello of 16 MB.
    Oversized,
    /// Sends a whole ClientHello without a knock.
    NoKnock,
    /// Sends the ClientHello of a client that the bridge has served.
    Replayed,
    /// Sends a ClientHello whose knock is valid and new to the bridge, and nothing more: what an impostor at one of a
    /// client's candidate addresses could do, if clients knocked there without end.
    Seen,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "silent" => Self::Silent,
            "slow" => Self::Slow,
            "open" => Self::Open,
            "garbage" => Self::Garbage,
            "http" => Self::Http,
            "partial" => Self::Partial,
            "records" => Self::Records,
            "oversized" => Self::Oversized,
            "no-knock" => Self::NoKnock,
            "replayed" => Self::Replayed,
            "seen" => Self::Seen,
            _ => return Err(format!("unknown flood {name:?}")),
        })
    }
}

/// Connections that one thread of [`Kind::Open`] keeps: 12,000 for 400 threads, within 20,000 descriptors.
const KEPT_OPEN: usize = 30;
/// Between two bytes of [`Kind::Slow`].
const BYTE_INTERVAL: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A read returns after this time, to check whether the flood should end.
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// For one ML-KEM key pair, in a build without optimisation.
const STACK: usize = 1 << 20;
const GARBAGE: usize = 600;

struct Flood {
    kind: Kind,
    target: SocketAddr,
    peer: Option<Peer>,
    /// What each connection sends, unless its kind makes something new each time.
    bytes: Vec<u8>,
    stop: Stop,
    connections: AtomicU64,
    turned_away: AtomicU64,
    failed: AtomicU64,
}

/// Floods `target` until standard input ends, then prints how many connections there were. `recorded` is the file of
/// [`Kind::Replayed`].
pub(crate) fn run(kind: Kind, target: SocketAddr, threads: usize, recorded: Option<&str>) -> Result<()> {
    // Without a conf the target is a bare server.
    let peer = Peer::from_env().ok();
    let known = || peer.as_ref().ok_or("BRIDGE_CONF is not set");
    let bytes = match kind {
        Kind::Silent | Kind::Open | Kind::Seen => Vec::new(),
        Kind::Garbage => (0..GARBAGE).map(|index| (index * 7 % 251) as u8 | 0x80).collect(),
        Kind::Http => b"GET / HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\n\r\n".to_vec(),
        Kind::Slow | Kind::NoKnock => client_hello::without_knock(known()?)?,
        Kind::Partial => {
            let mut hello = client_hello::without_knock(known()?)?;
            hello.truncate(hello.len() / 2);
            hello
        }
        // Type 22, version, length (RFC 8446, 5.1).
        Kind::Records => {
            let hello = client_hello::without_knock(known()?)?;
            hello.iter().skip(5).flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect()
        }
        Kind::Oversized => {
            let fragment = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff, 3, 3][..], &[0x42; (1 << 14) - 6]];
            [fragment.concat(), [&[22, 3, 1, 0x40, 0][..], &[0x42; 1 << 14]].concat()].concat()
        }
        Kind::Replayed => std::fs::read(recorded.ok_or("no file with a recorded ClientHello")?)?,
    };
    let flood = Arc::new(Flood {
        kind,
        target,
        peer,
        bytes,
        stop: Stop::at_end_of_stdin(),
        connections: AtomicU64::new(0),
        turned_away: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    });
    // Threads connect while later ones are started, which takes seconds on a busy processor.
    let began = Instant::now();
    for _ in 0..threads {
        let flood = Arc::clone(&flood);
        thread::Builder::new().stack_size(STACK).spawn(move || flood.attack())?;
    }
    println!("{{\"ready\":true}}");
    while !flood.stop.is_set() {
        flood.stop.sleep(Duration::from_secs(1));
        flood.report(began);
    }
    // The threads end with this process: one that writes to a bridge that does not read would go on.
    Ok(())
}

impl Flood {
    /// Prints the sums so far.
    fn report(&self, began: Instant) {
        let [connections, turned_away, failed] =
            [&self.connections, &self.turned_away, &self.failed].map(|count| count.load(Ordering::Relaxed));
        println!(
            "{{\"connections\":{connections},\"turned_away\":{turned_away},\"failed\":{failed},\"seconds\":{:.3}}}",
            began.elapsed().as_secs_f64()
        );
    }

    fn attack(&self) {
        let mut kept = VecDeque::new();
        while !self.stop.is_set() {
            match self.connect() {
                Ok(tcp) => {
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    if self.kind == Kind::Open {
                        kept.push_back(tcp);
                        if kept.len() > KEPT_OPEN {
                            kept.pop_front();
                        }
                    } else if self.converse(tcp) {
                        self.turned_away.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    // No descriptor or port is free.
                    self.stop.sleep(Duration::from_millis(10));
                }
            }
        }
    }

    fn connect(&self) -> IoResult<TcpStream> {
        let tcp = TcpStream::connect_timeout(&self.target, CONNECT_TIMEOUT)?;
        // A reset at the end: TIME_WAIT would use up the ports of this address.
        set_socket_linger(&tcp, Some(Duration::ZERO))?;
        tcp.set_read_timeout(Some(READ_TIMEOUT))?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// Whether the bridge ended the connection.
    fn converse(&self, mut tcp: TcpStream) -> bool {
        let sent = match self.kind {
            Kind::Slow => self.send_slowly(&mut tcp),
            Kind::Seen => self.send_new_hello(&mut tcp),
            _ => tcp.write_all(&self.bytes),
        };
        sent.is_err() && !self.stop.is_set() || self.is_ended_by_bridge(tcp)
    }

    fn send_slowly(&self, tcp: &mut TcpStream) -> IoResult<()> {
        for byte in &self.bytes {
            if self.stop.is_set() {
                break;
            }
            tcp.write_all(&[*byte])?;
            thread::sleep(BYTE_INTERVAL);
        }
        Ok(())
    }

    fn send_new_hello(&self, tcp: &mut TcpStream) -> IoResult<()> {
        let hello = self.peer.as_ref().and_then(|peer| client_hello::with_knock(peer).ok());
        tcp.write_all(&hello.unwrap_or_default())
    }

    fn is_ended_by_bridge(&self, mut tcp: TcpStream) -> bool {
        let mut buffer = [0; 4096];
        while !self.stop.is_set() {
            match tcp.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return true,
            }
        }
        false
    }
}
