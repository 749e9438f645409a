//! A TCP proxy that damages connections: it cuts them, stalls them, or forwards them in small pieces.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// In which direction bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the bridge.
    Up,
    /// From the bridge to the client.
    Down,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// After this many bytes in one direction, both ends are closed: with a reset, or as if the other end had closed.
    Cut { direction: Direction, after: usize, reset: bool },
    /// After this many bytes in one direction nothing is forwarded, and both ends stay open.
    Stall { direction: Direction, after: usize },
    /// Every piece has at most this many bytes, and is sent after this time.
    Pieces { size: usize, delay: Duration },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Which connections have a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Affected {
    First,
    All,
}

/// Forwards connections to a port of loopback. All of them are cut when this is dropped.
pub(super) struct FaultProxy {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    fault: Fault,
    affected: Affected,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<TcpStream>,
    accepted: usize,
    closed: bool,
    /// What the first connection carried.
    first: [Vec<u8>; 2],
}

impl FaultProxy {
    pub(super) fn to(target: u16, fault: Fault, affected: Affected) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { target, fault, affected, state: Mutex::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if !accepting.forward(near) {
                    return;
                }
            }
        });
        Self { port, shared }
    }

    /// The ends of all TLS records of the first connection, as numbers of bytes from its start.
    pub(super) fn records(&self, direction: Direction) -> Vec<usize> {
        let state = self.shared.lock();
        let bytes = &state.first[direction as usize];
        let (mut ends, mut at) = (Vec::new(), 0);
        while let Some([_, _, _, high, low]) = bytes.get(at..at + 5) {
            at += 5 + usize::from(u16::from_be_bytes([*high, *low]));
            ends.push(at.min(bytes.len()));
        }
        ends
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to forward a connection; returns whether further ones are accepted.
    fn forward(self: &Arc<Self>, near: TcpStream) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        // A bridge that has ended refuses: so does this proxy, by closing.
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.target)) else { return true };
        let is_first = state.accepted == 0;
        state.accepted += 1;
        let fault = match self.affected {
            Affected::First if !is_first => Fault::None,
            Affected::First | Affected::All => self.fault,
        };
        for stream in [&near, &far] {
            stream.set_nodelay(true).unwrap();
            state.open.push(stream.try_clone().unwrap());
        }
        for (direction, from, to) in [(Direction::Up, &near, &far), (Direction::Down, &far, &near)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pass(direction, from, to, fault, is_first));
        }
        true
    }

    fn pass(
        &self,
        direction: Direction,
        mut from: TcpStream,
        mut to: TcpStream,
        fault: Fault,
        is_first: bool,
    ) {
        let (size, delay) = match fault {
            Fault::Pieces { size, delay } => (size, delay),
            Fault::None | Fault::Cut { .. } | Fault::Stall { .. } => (64 << 10, Duration::ZERO),
        };
        let end = match fault {
            Fault::Cut { direction: of, after, .. } | Fault::Stall { direction: of, after }
                if of == direction =>
            {
                after
            }
            Fault::None | Fault::Cut { .. } | Fault::Stall { .. } | Fault::Pieces { .. } => usize::MAX,
        };
        let (mut buffer, mut passed) = (vec![0; size], 0);
        loop {
            if passed >= end {
                // Where a connection stalls, both ends stay open until the proxy is dropped.
                if let Fault::Cut { reset, .. } = fault {
                    cut(&from, &to, reset);
                }
                return;
            }
            let room = size.min(end - passed);
            let Ok(length @ 1..) = from.read(&mut buffer[..room]) else { break };
            if !delay.is_zero() {
                thread::sleep(delay);
            }
            if is_first {
                self.lock().first[direction as usize].extend_from_slice(&buffer[..length]);
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
            passed += length;
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn cut(one: &TcpStream, other: &TcpStream, reset: bool) {
    for stream in [one, other] {
        if reset {
            // The kernel sends RST instead of FIN when the last descriptor is closed; other threads still have some, and
            // `shutdown` makes them let go.
            let _ = set_socket_linger(stream, Some(Duration::ZERO));
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}
