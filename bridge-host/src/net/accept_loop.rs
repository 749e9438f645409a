//! Accepts connections, turns strangers away, and hands those that knocked to their handshakes.
//!
//! The work of one turn is bounded, so that a flood leaves time for the sessions of clients. A stranger that the first
//! read decides costs that read, an alert and a close: no registration for events, task, timer, log line or lock.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::client_hello::{ClientHello, ClientHelloReader};
use proto::knock::KnockKey;
use proto::limits::MAX_CLIENT_HELLO;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::limits::BridgeLimits;
use crate::net::accept_errors::AcceptErrors;
use crate::net::handshakes::{Handshakes, Knocked, Slot};
use crate::net::knocks::Knocks;
use crate::net::listener::{AllowFrom, Listener, NewConnection, canonical};
use crate::net::refusal::{HandshakeRefusal, Refusals};
use crate::net::silent_peers::{Judged, SilentPeers};

/// Connections accepted in one turn: some 0.5 ms.
const ACCEPTS_PER_TURN: usize = 64;
/// Silent peers read from in one turn.
const READS_PER_TURN: usize = 128;
/// Handshakes begun in one turn: some 5 ms. Those of a whole flood at once would keep the next client, and all sessions,
/// waiting for as long as they take together.
const STARTS_PER_TURN: usize = 16;
/// How often time limits are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Silent peers that yield when there are no descriptors.
const YIELD_WITHOUT_DESCRIPTORS: usize = 64;

/// A TLS record with the fatal alert `access_denied` (RFC 8446, 6).
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// The listening socket, and all connections before their handshake.
pub(crate) struct AcceptLoop {
    listener: Listener,
    allow_from: AllowFrom,
    own_addresses: Vec<IpAddr>,
    knocks: Knocks,
    silent: SilentPeers,
    handshakes: Arc<Handshakes>,
    errors: AcceptErrors,
    check: Interval,
    /// What was refused, and how many connections there were, since [`take_counts`](Self::take_counts).
    counts: Counts,
    buffer: Box<[u8; MAX_CLIENT_HELLO]>,
}

/// What an accept loop has counted. Counting for each stranger here, and not in the audit, takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections from allowed addresses.
    pub(crate) connections: u64,
    pub(crate) refused: Refusals,
}

impl AcceptLoop {
    /// Must be called within the runtime.
    pub(crate) fn new(
        listener: Listener,
        allow_from: AllowFrom,
        own_addresses: Vec<IpAddr>,
        knock: KnockKey,
        limits: &BridgeLimits,
    ) -> Self {
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            listener,
            allow_from,
            own_addresses,
            knocks: Knocks::new(knock),
            silent: SilentPeers::new(limits.silent_peers),
            handshakes: Arc::new(Handshakes::new(limits.handshakes, limits.knocked)),
            errors: AcceptErrors::default(),
            check,
            counts: Counts::default(),
            buffer: Box::new([0; MAX_CLIENT_HELLO]),
        }
    }

    /// Works as long as there is work, up to a limit, and returns the connections whose handshake is to begin. After
    /// each turn, other tasks must get theirs. Loses nothing if it is dropped.
    pub(crate) async fn turn(&mut self) -> Vec<(Knocked, Slot)> {
        // The limits here replace tokio's.
        unconstrained(poll_fn(|cx| self.poll_turn(cx))).await
    }

    /// Names the task that runs the handshake in a slot of this id.
    pub(crate) fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// The counts since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(Knocked, Slot)>> {
        let now = Instant::now();
        self.handshakes.register(cx.waker());
        let has_read = self.read_silent(cx, now);
        let has_accepted = self.accept(cx, now);
        let has_expired = self.check_limits(cx, now);
        let mut starting = Vec::new();
        while starting.len() < STARTS_PER_TURN
            && let Some(next) = self.handshakes.start_next(now, |cause| self.counts.refused.add(cause, 1))
        {
            starting.push(next);
        }
        // A line needs the checks of the next turn.
        if has_read || has_accepted || has_expired || !starting.is_empty() {
            Poll::Ready(starting)
        } else {
            Poll::Pending
        }
    }

    /// Reads from silent peers, and says whether there was anything to read.
    fn read_silent(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for count in 0..READS_PER_TURN {
            match self.silent.poll_next(cx) {
                Poll::Pending => return count > 0,
                Poll::Ready(None) => {}
                Poll::Ready(Some(judged)) => self.settle(judged, now),
            }
        }
        true
    }

    /// Accepts connections, and says whether there were any.
    fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for count in 0..ACCEPTS_PER_TURN {
            if self.errors.poll_pause(cx).is_pending() {
                return count > 0;
            }
            match self.listener.poll_accept(cx) {
                Poll::Pending => return count > 0,
                Poll::Ready(Ok((tcp, peer))) => self.judge(tcp, canonical(peer), now),
                Poll::Ready(Err(error)) => {
                    if self.errors.is_exhaustion(&error, now) {
                        for _ in 0..YIELD_WITHOUT_DESCRIPTORS {
                            let Some(judged) = self.silent.evict_oldest() else { break };
                            self.settle(judged, now);
                        }
                    }
                }
            }
        }
        true
    }

    /// Decides about a new connection by what it has sent already.
    fn judge(&mut self, tcp: NewConnection, peer: SocketAddr, now: Instant) {
        if !self.allow_from.admits(peer.ip(), &self.own_addresses) {
            self.counts.refused.add(HandshakeRefusal::AddressNotAllowed, 1);
            return;
        }
        self.counts.connections += 1;
        let mut reader = ClientHelloReader::default();
        match first_read(&tcp, &mut reader, self.buffer.as_mut_slice()) {
            Ok(None) => {
                // Registration fails without memory for it only.
                let Ok(tcp) = tcp.register() else {
                    return self.counts.refused.add(HandshakeRefusal::Busy, 1);
                };
                if let Some(judged) = self.silent.add(tcp, peer, reader, now) {
                    self.settle(judged, now);
                }
            }
            Ok(Some(hello)) => match self.knocks.accept(&hello) {
                Ok(()) => match tcp.register() {
                    Ok(tcp) => self.enqueue(Knocked { tcp, peer, hello }, now),
                    Err(_) => self.counts.refused.add(HandshakeRefusal::Busy, 1),
                },
                Err(cause) => self.refuse(|alert| tcp.try_write(alert), cause),
            },
            Err(cause) => self.refuse(|alert| tcp.try_write(alert), cause),
        }
    }

    /// Carries a judgement out.
    fn settle(&mut self, judged: Judged, now: Instant) {
        match judged {
            Judged::Hello(tcp, peer, hello) => match self.knocks.accept(&hello) {
                Ok(()) => self.enqueue(Knocked { tcp, peer, hello }, now),
                Err(cause) => self.refuse(|alert| tcp.try_write(alert), cause),
            },
            Judged::Refused(tcp, cause) => self.refuse(|alert| tcp.try_write(alert), cause),
        }
    }

    fn refuse(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>, cause: HandshakeRefusal) {
        if cause.is_answered() {
            // It fits into an empty send buffer.
            let _ = write(&ACCESS_DENIED);
        }
        self.counts.refused.add(cause, 1);
    }

    fn enqueue(&mut self, knocked: Knocked, now: Instant) {
        if let Err(cause) = self.handshakes.enqueue(knocked, now) {
            self.counts.refused.add(cause, 1);
        }
    }

    /// Ends silent connections whose time is up. Says whether it is time to look again at those that wait.
    fn check_limits(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_due = false;
        while (!self.silent.is_empty() || self.handshakes.has_line()) && self.check.poll_tick(cx).is_ready() {
            is_due = true;
            while let Some(judged) = self.silent.expire_oldest(now) {
                self.settle(judged, now);
            }
        }
        is_due
    }
}

/// Reads once. `None` means that the ClientHello is not whole.
fn first_read(
    tcp: &NewConnection,
    reader: &mut ClientHelloReader,
    buffer: &mut [u8],
) -> Result<Option<ClientHello>, HandshakeRefusal> {
    match tcp.try_read(buffer) {
        Ok(0) => Err(HandshakeRefusal::GaveUp),
        Ok(length) => Ok(reader.push(buffer.get(..length).unwrap_or_default())?),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(_) => Err(HandshakeRefusal::GaveUp),
    }
}
