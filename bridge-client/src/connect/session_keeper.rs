//! Keeps a session open while COMMAND runs: answers the bridge's pings, and dials again when the connection breaks.

use std::pin::pin;

use proto::{Hello, HostMessage, SessionId};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::connect::connection::{BridgeConnection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::retry::{Backoff, FIRST_REDIAL, LAST_REDIAL, LASTING, SESSION_GRACE};

/// A session that is open for its streams alone. (If it has an agent, the agent's multiplexer keeps it.)
pub(crate) struct SessionKeeper<'a> {
    dialer: &'a Dialer,
    /// The hello that continues the session.
    hello: Hello,
    connection: BridgeConnection,
}

impl<'a> SessionKeeper<'a> {
    /// `connection` is that of the session, and `hello` continues it.
    pub(crate) fn new(dialer: &'a Dialer, hello: Hello, connection: BridgeConnection) -> Self {
        Self { dialer, hello, connection }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.hello.session
    }

    /// Keeps the session open until `work` is done, and ends it then.
    pub(crate) async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let Self { dialer, hello, mut connection } = self;
        let mut work = pin!(work);
        let mut backoff = Backoff::new(FIRST_REDIAL, LAST_REDIAL);
        loop {
            let began = Instant::now();
            let error = tokio::select! {
                biased;
                done = &mut work => {
                    connection.close().await;
                    return done;
                }
                error = until_broken(&mut connection, hello.http) => error,
            };
            warn!("the connection to the bridge broke ({error}); dialling again");
            if began.elapsed() > LASTING {
                backoff = Backoff::new(FIRST_REDIAL, LAST_REDIAL);
            }
            let redialled = tokio::select! {
                biased;
                done = &mut work => return done,
                redialled = redial(dialer, &hello, &mut backoff) => redialled,
            };
            match redialled {
                Ok(redialled) => connection = redialled,
                Err(error) => {
                    warn!("the bridge can no longer be reached: HTTP requests through it fail from now on");
                    debug!("{error}");
                    return work.await;
                }
            }
        }
    }
}

/// Reads until the connection ends. The bridge sends nothing but pings, and after a redial the origins again.
async fn until_broken(connection: &mut BridgeConnection, http: bool) -> SessionError {
    loop {
        let received = match connection.next().await {
            Ok(payload) => decode(&payload).map(|message| matches!(message, HostMessage::Origins { .. })),
            Err(error) => return error,
        };
        match received {
            Ok(true) if http => {}
            Ok(_) => return SessionError::Protocol("an answer without a question"),
            Err(error) => return error,
        }
    }
}

/// Dials until the session is continued, or can no longer be.
async fn redial(
    dialer: &Dialer,
    hello: &Hello,
    backoff: &mut Backoff,
) -> Result<BridgeConnection, ConnectError> {
    let broken_at = Instant::now();
    loop {
        sleep(backoff.next()).await;
        match dialer.resume(hello).await {
            Ok(connection) => {
                debug!("session resumed");
                return Ok(connection);
            }
            Err(error) if error.is_final() || broken_at.elapsed() > SESSION_GRACE => return Err(error),
            Err(error) => debug!("cannot reconnect yet: {error}"),
        }
    }
}
