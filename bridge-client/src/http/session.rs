//! Offers the proxy to COMMAND for as long as COMMAND runs.

use std::ffi::OsString;
use std::io;

use proto::http::{Origin, RuledOrigin};
use proto::{Hello, SessionId};

use super::error::{HttpError, NoHttpRule};
use super::proxy::HttpProxy;
use super::request::{HttpMode, HttpRequest};
use crate::connect::connection::BridgeConnection;
use crate::connect::dial::Dialer;
use crate::nesting::SESSION_VARIABLE;

/// A session that stays open while COMMAND runs, for its HTTP requests.
pub(crate) struct HttpSession<'a> {
    dialer: &'a Dialer,
    session: SessionId,
    ruled: Vec<RuledOrigin>,
    request: HttpRequest,
    /// The session's connection; none if the agent keeps it.
    connection: Option<(BridgeConnection, Hello)>,
}

impl<'a> HttpSession<'a> {
    /// What `request` demands of a bridge with rules for `ruled`: `None` if COMMAND gets no proxy.
    ///
    /// # Errors
    /// [`NoHttpRule`] if the bridge does not have the rules that are demanded.
    pub(crate) fn admit(
        request: &HttpRequest,
        ruled: &[RuledOrigin],
    ) -> Result<Option<HttpRequest>, NoHttpRule> {
        let has = |wanted: &Origin| ruled.iter().any(|ruled| ruled.origin == *wanted);
        let mut request = request.clone();
        match request.mode {
            HttpMode::None => return Ok(None),
            HttpMode::IfRuled if ruled.is_empty() => return Ok(None),
            HttpMode::IfRuled => request.listen.retain(|(origin, _)| has(origin)),
            HttpMode::Required if ruled.is_empty() => return Err(NoHttpRule::Any),
            HttpMode::Required => {
                if let Some((origin, _)) = request.listen.iter().find(|(origin, _)| !has(origin)) {
                    let ruled = ruled.iter().map(|ruled| ruled.origin.clone()).collect();
                    return Err(NoHttpRule::For { origin: origin.clone(), ruled });
                }
            }
        }
        Ok(Some(request))
    }

    /// `connection` is that of the session of `redial`, unless something else keeps it.
    pub(crate) fn new(
        dialer: &'a Dialer,
        redial: Hello,
        request: HttpRequest,
        ruled: Vec<RuledOrigin>,
        connection: Option<BridgeConnection>,
    ) -> Self {
        let session = redial.session;
        let connection = connection.map(|connection| (connection, redial));
        Self { dialer, session, ruled, request, connection }
    }

    /// Starts the proxy. Returns the environment variables for COMMAND.
    pub(crate) async fn offer(self) -> Result<(OfferedHttp<'a>, Vec<(String, OsString)>), HttpError> {
        let Self { dialer, session, ruled, request, connection } = self;
        let (proxy, _facts) = HttpProxy::start(dialer, session, ruled, &request.listen).await?;
        let variables = vec![(SESSION_VARIABLE.to_owned(), session.to_string().into())];
        Ok((OfferedHttp { proxy, connection }, variables))
    }
}

/// A proxy that accepts connections.
pub(crate) struct OfferedHttp<'a> {
    proxy: HttpProxy<'a>,
    connection: Option<(BridgeConnection, Hello)>,
}

impl OfferedHttp<'_> {
    /// Serves COMMAND's tools until `command` resolves, and keeps the session's connection if the agent does not.
    pub(crate) async fn serve_during(
        self,
        command: impl Future<Output = io::Result<u32>>,
    ) -> io::Result<u32> {
        let serving = self.proxy.serve_during(command);
        match self.connection {
            None => serving.await,
            Some((connection, _redial)) => keep_during(connection, serving).await,
        }
    }
}

/// Keeps `connection` open until `command` resolves.
async fn keep_during(
    mut connection: BridgeConnection,
    command: impl Future<Output = io::Result<u32>>,
) -> io::Result<u32> {
    let mut command = std::pin::pin!(command);
    let code = loop {
        tokio::select! {
            code = &mut command => break code,
            broken = connection.next() => if broken.is_err() {
                return command.await;
            }
        }
    };
    connection.close().await;
    code
}
