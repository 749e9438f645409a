//! Offers the proxy to COMMAND for as long as COMMAND runs.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use proto::http::{Origin, RuledOrigin};
use proto::{Hello, SessionId};

use super::environment::{self, Before};
use super::error::{HttpError, NoHttpRule};
use super::proxy::HttpProxy;
use super::request::{HttpMode, HttpRequest};
use crate::connect::connection::BridgeConnection;
use crate::connect::dial::Dialer;
use crate::connect::session_keeper::SessionKeeper;
use crate::exec::private_dir::PrivateDir;
use crate::nesting::SESSION_VARIABLE;

/// A session that stays open while COMMAND runs, for its HTTP requests.
pub(crate) struct HttpSession<'a> {
    dialer: &'a Dialer,
    session: SessionId,
    ruled: Vec<RuledOrigin>,
    request: HttpRequest,
    /// None if the agent keeps the session.
    keeper: Option<SessionKeeper<'a>>,
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
        let keeper = connection.map(|connection| SessionKeeper::new(dialer, redial, connection));
        Self { dialer, session, ruled, request, keeper }
    }

    /// Starts the proxy, and writes the files for COMMAND's tools. Returns the environment variables for COMMAND. `lookup`
    /// returns those that COMMAND has already.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn offer(
        self,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(OfferedHttp<'a>, Vec<(String, OsString)>), HttpError> {
        let Self { dialer, session, ruled, request, keeper } = self;
        let (proxy, facts) = HttpProxy::start(dialer, session, ruled.clone(), &request.listen).await?;
        let directory = PrivateDir::create_readable().map_err(HttpError::Files)?;
        let before = Before { lookup: &lookup, root: Path::new("/") };
        let mut variables = environment::set_up(&facts, &ruled, &request.placeholders, &before, &directory)?;
        variables.push((SESSION_VARIABLE.to_owned(), session.to_string().into()));
        Ok((OfferedHttp { proxy, keeper, _directory: directory }, variables))
    }
}

/// A proxy that accepts connections.
pub(crate) struct OfferedHttp<'a> {
    proxy: HttpProxy<'a>,
    keeper: Option<SessionKeeper<'a>>,
    /// Removed when COMMAND has ended.
    _directory: PrivateDir,
}

impl OfferedHttp<'_> {
    /// Serves COMMAND's tools until `command` resolves, and keeps the session open if the agent does not.
    pub(crate) async fn serve_during(
        self,
        command: impl Future<Output = io::Result<u32>>,
    ) -> io::Result<u32> {
        let serving = self.proxy.serve_during(command);
        match self.keeper {
            None => serving.await,
            Some(keeper) => keeper.during(serving).await,
        }
    }
}
