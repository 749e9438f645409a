//! The race between the candidate addresses, as in RFC 8305. The first whose certificate matches the pin wins.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use crate::connect::dial::{Dialer, attempt_of};
use crate::connect::error::{Attempt, Cause, DialError};
use crate::connect::pin::PinnedStream;

/// Time between the starts of two attempts. It is longer than a handshake on one machine takes, so that a near bridge sees
/// one connection, and so short that fifteen dead addresses before a good one do not matter.
const STAGGER: Duration = Duration::from_millis(12);
/// For this long an endpoint that took the connection holds back further starts, unless it fails. The addresses of a conf
/// mostly lead to the same bridge: one that is slow must not get a handshake for each of them because it is slow.
const HOLD: Duration = Duration::from_millis(250);
/// After this long, a message says what is being waited for.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// A race, which may be run again for the candidates that may still lead to the bridge.
pub(crate) struct Race<'d> {
    dialer: &'d Dialer,
    began: Instant,
    /// The candidates that failed, by their index.
    failed: BTreeMap<usize, Cause>,
    reported: bool,
}

/// The result of one step of a candidate's attempt.
enum Step {
    Connected(usize, Result<TcpStream, Cause>),
    Proven(usize, Result<Box<PinnedStream>, Cause>),
}

impl<'d> Race<'d> {
    pub(crate) fn new(dialer: &'d Dialer) -> Self {
        Self { dialer, began: Instant::now(), failed: BTreeMap::new(), reported: false }
    }

    /// Connects to the first candidate whose certificate matches the pin. The other connections are closed without an
    /// upgrade. A further run leaves out the candidates that have failed for good.
    ///
    /// # Errors
    /// [`DialError`] with the cause of each candidate.
    pub(crate) async fn run(&mut self) -> Result<PinnedStream, DialError> {
        self.failed.retain(|_, cause| !cause.is_transient());
        let mut running: FuturesUnordered<LocalBoxFuture<'d, Step>> = FuturesUnordered::new();
        let mut starts = Starts::now();
        let mut next = 0;
        loop {
            // Even a timer that has expired waits for the next millisecond of the clock.
            while starts.is_due() {
                match self.candidate_from(next) {
                    Some(index) => {
                        next = index + 1;
                        starts.started();
                        running.push(self.connect(index));
                    }
                    None => starts.end(),
                }
            }
            if starts.have_ended() && running.is_empty() {
                return Err(self.error());
            }
            tokio::select! {
                Some(step) = running.next(), if !running.is_empty() => match step {
                    Step::Connected(index, Ok(tcp)) => {
                        starts.hold(index);
                        running.push(self.prove(index, tcp));
                    }
                    Step::Proven(index, Ok(stream)) => {
                        debug!("{} is the bridge", self.shown(index));
                        self.dialer.set_answered(index);
                        return Ok(*stream);
                    }
                    Step::Connected(index, Err(cause)) | Step::Proven(index, Err(cause)) => {
                        debug!("{}: {cause}", self.shown(index));
                        starts.failed(index);
                        self.failed.insert(index, cause);
                    }
                },
                () = sleep_until(starts.next), if !starts.have_ended() => {}
                () = sleep_until(self.began + QUIET_TIME), if !self.reported => {
                    self.reported = true;
                    info!("trying {} addresses of the bridge …", self.dialer.candidates());
                }
            }
        }
    }

    /// The first candidate from `index` on that has not failed.
    fn candidate_from(&self, index: usize) -> Option<usize> {
        (index..)
            .find(|index| !self.failed.contains_key(index))
            .filter(|index| self.dialer.candidate(*index).is_some())
    }

    // Boxed: the state of a handshake is large, and most attempts never begin.
    fn connect(&self, index: usize) -> LocalBoxFuture<'d, Step> {
        let dialer = self.dialer;
        Box::pin(async move {
            let connected = match dialer.candidate(index) {
                Some(candidate) => dialer.connect(candidate).await,
                None => Err(Cause::Unreachable),
            };
            Step::Connected(index, connected)
        })
    }

    fn prove(&self, index: usize, tcp: TcpStream) -> LocalBoxFuture<'d, Step> {
        let dialer = self.dialer;
        Box::pin(async move { Step::Proven(index, dialer.prove(tcp).await.map(Box::new)) })
    }

    fn shown(&self, index: usize) -> String {
        self.dialer.candidate(index).map(ToString::to_string).unwrap_or_default()
    }

    fn error(&mut self) -> DialError {
        let attempts: Vec<Attempt> = self
            .failed
            .iter()
            .filter_map(|(index, cause)| Some(attempt_of(self.dialer.candidate(*index)?, cause.clone())))
            .collect();
        let hint = self.dialer.hint(&attempts);
        DialError { attempts, tries: 1, took: self.began.elapsed(), hint }
    }
}

/// When the next attempt starts.
struct Starts {
    next: Instant,
    ended: bool,
    /// Candidates that took the connection and have not failed, and until when they hold back further starts.
    held: BTreeMap<usize, Instant>,
}

impl Starts {
    fn now() -> Self {
        Self { next: Instant::now(), ended: false, held: BTreeMap::new() }
    }

    fn is_due(&self) -> bool {
        !self.ended && self.next <= Instant::now()
    }

    fn started(&mut self) {
        self.next = self.not_before(Instant::now() + STAGGER);
    }

    fn hold(&mut self, index: usize) {
        self.held.insert(index, Instant::now() + HOLD);
        self.next = self.not_before(self.next);
    }

    /// There is nothing to wait for.
    fn failed(&mut self, index: usize) {
        self.held.remove(&index);
        self.next = self.not_before(Instant::now());
    }

    fn not_before(&self, at: Instant) -> Instant {
        self.held.values().copied().fold(at, Instant::max)
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn have_ended(&self) -> bool {
        self.ended
    }
}
