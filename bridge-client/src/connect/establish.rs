//! From an address to the bridge's answer: dials, sends the hello, and waits for the first message. What breaks before that
//! is tried again; a session in line for a place is waited for.

use std::time::Duration;

use proto::{Hello, HostMessage, Purpose, SessionId, UpgradeRefusal};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Bytes;
use tracing::{debug, info};

use crate::connect::connection::{BridgeConnection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::pin::PinnedStream;
use crate::connect::race::Race;
use crate::connect::retry::Retries;

/// A bridge answers at once. To a client in line it sends `waiting` every 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time in line. The bridge gives up after 60 s; this is for one that does not.
const LINE_TIMEOUT: Duration = Duration::from_secs(75);
/// A client that was in line for this long is not put in line again.
const LONG_WAIT: Duration = Duration::from_secs(50);
/// After this long in line, a message says so.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// A connection on which the bridge has accepted the hello.
pub(crate) struct Established {
    pub(crate) connection: BridgeConnection,
    /// The bridge's first message: `welcome` for a session, if the bridge keeps to the protocol.
    pub(crate) first: Bytes,
}

/// The time in line for a place.
#[derive(Default)]
struct Line {
    waited: Duration,
    reported: bool,
}

impl Dialer {
    /// Connects to the bridge, and sends `hello` until the bridge answers it.
    ///
    /// # Errors
    /// [`ConnectError`] when no attempt can succeed, or there is no time for another.
    pub(crate) async fn establish(&self, hello: &Hello) -> Result<Established, ConnectError> {
        self.establish_over(None, hello, Retries::begin()).await
    }

    /// As [`Self::establish`]; the first attempt uses the connection `proven`. `retries` has begun.
    pub(crate) async fn establish_over(
        &self,
        mut proven: Option<PinnedStream>,
        hello: &Hello,
        mut retries: Retries,
    ) -> Result<Established, ConnectError> {
        let mut race = Race::new(self);
        let mut line = Line::default();
        let mut last: Option<ConnectError> = None;
        loop {
            let in_line_before = line.waited;
            let opened = match retries.deadline() {
                None => open(&mut race, proven.take(), hello).await,
                Some(deadline) => match timeout_at(deadline, open(&mut race, proven.take(), hello)).await {
                    Ok(opened) => opened,
                    Err(_) => Err(last.take().unwrap_or(SessionError::Silent(retries.took()).into())),
                },
            };
            let answered = match opened {
                Ok(connection) => line.first_message(connection, hello).await.map_err(ConnectError::from),
                Err(error) => Err(error),
            };
            let error = match answered {
                Ok(established) => {
                    if retries.tries > 1 {
                        debug!(
                            "connected ({} attempts in {:.1} s)",
                            retries.tries,
                            retries.took().as_secs_f64()
                        );
                    }
                    return Ok(established);
                }
                Err(error) => error,
            };
            let in_line = line.waited.saturating_sub(in_line_before);
            retries.exempt(in_line);
            // A bridge gives up after 60 s in line, and sooner only when a redial needs the position.
            let gave_up = line.waited > LONG_WAIT
                && matches!(error, ConnectError::Session(SessionError::Refused(UpgradeRefusal::Busy)));
            if !error.is_transient() || gave_up || !retries.again().await {
                return Err(error.after(retries.tries, retries.took()));
            }
            debug!("{}; trying again", one_line(&error));
            last = Some(error);
        }
    }
}

impl Dialer {
    /// Opens a stream of the session `session`. Dials the endpoint at which the bridge answered last, and all others only if
    /// it does not answer there. What breaks before the bridge's answer is tried again, as is a stream that is one too many.
    ///
    /// # Errors
    /// [`ConnectError`] when no attempt can succeed, or there is no time for another.
    pub(crate) async fn open_stream(&self, session: SessionId) -> Result<BridgeConnection, ConnectError> {
        let hello = Hello { session, ..Hello::without_session(Purpose::Stream) };
        let mut race = Race::new(self);
        let mut retries = Retries::begin();
        loop {
            let opening = async {
                let known = self.reach_again().await?;
                open(&mut race, known, &hello).await
            };
            let opened = match retries.deadline() {
                None => opening.await,
                Some(deadline) => match timeout_at(deadline, opening).await {
                    Ok(opened) => opened,
                    Err(_) => Err(SessionError::Silent(retries.took()).into()),
                },
            };
            match opened {
                Err(error) if error.is_transient() && retries.again().await => {
                    debug!("{}; trying again", one_line(&error));
                }
                Err(error) => return Err(error.after(retries.tries, retries.took())),
                Ok(connection) => return Ok(connection),
            }
        }
    }

    /// Continues the session of `hello`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(crate) async fn resume(&self, hello: &Hello) -> Result<BridgeConnection, ConnectError> {
        let Established { connection, first } = self.establish(hello).await?;
        if let HostMessage::Welcome { .. } = decode(&first)? {
            Ok(connection)
        } else {
            Err(SessionError::Protocol("the first message is not a welcome").into())
        }
    }
}

async fn open(
    race: &mut Race<'_>,
    proven: Option<PinnedStream>,
    hello: &Hello,
) -> Result<BridgeConnection, ConnectError> {
    let stream = match proven {
        Some(stream) => stream,
        None => race.run().await?,
    };
    // Boxed, as it is large and its caller is awaited in many places.
    Ok(Box::pin(BridgeConnection::open(stream, hello)).await?)
}

/// The causes of a failed race were logged one by one.
fn one_line(error: &ConnectError) -> String {
    match error {
        ConnectError::Dial(_) => "no endpoint of the bridge answered".to_owned(),
        ConnectError::Session(error) => error.to_string(),
    }
}

impl Line {
    async fn first_message(
        &mut self,
        mut connection: BridgeConnection,
        hello: &Hello,
    ) -> Result<Established, SessionError> {
        let mut entered: Option<Instant> = None;
        let received = loop {
            let received = self.next_message(&mut connection, entered).await;
            match received {
                Ok(message) if matches!(decode(&message), Ok(HostMessage::Waiting)) => {
                    if hello.purpose != Purpose::Session {
                        break Err(SessionError::Protocol("it lets something wait that is not a session"));
                    }
                    entered.get_or_insert_with(Instant::now);
                }
                // Nothing was asked for yet: in line, this code refuses what an HTTP status refuses otherwise.
                Err(SessionError::TooManyRequests) if hello.resume => {
                    break Err(SessionError::Refused(UpgradeRefusal::SessionEnded));
                }
                Err(SessionError::TooManyRequests) => {
                    break Err(SessionError::Refused(UpgradeRefusal::SessionsUsedUp));
                }
                received => break received,
            }
        };
        if let Some(entered) = entered {
            self.waited += entered.elapsed();
            debug!("waited in line for {:.1} s", self.waited.as_secs_f64());
        }
        received.map(|first| Established { connection, first })
    }

    async fn next_message(
        &mut self,
        connection: &mut BridgeConnection,
        entered: Option<Instant>,
    ) -> Result<Bytes, SessionError> {
        let in_line = self.waited + entered.map_or(Duration::ZERO, |entered| entered.elapsed());
        if in_line > LINE_TIMEOUT {
            return Err(SessionError::Refused(UpgradeRefusal::Busy));
        }
        let message = connection.next();
        tokio::pin!(message);
        let received = timeout(ANSWER_TIMEOUT, async {
            loop {
                tokio::select! {
                    message = &mut message => return message,
                    () = sleep_until(entered.unwrap_or_else(Instant::now) + QUIET_TIME),
                        if entered.is_some() && !self.reported =>
                    {
                        self.reported = true;
                        info!("the bridge is at its limit of sessions; waiting in line");
                    }
                }
            }
        });
        received.await.unwrap_or(Err(SessionError::Silent(ANSWER_TIMEOUT)))
    }
}
