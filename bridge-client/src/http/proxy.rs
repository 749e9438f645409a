//! The proxy on loopback that COMMAND's tools use.

use std::io;
use std::net::SocketAddr;

use proto::SessionId;
use proto::http::{Origin, RuledOrigin};
use tracing::warn;

use super::admission::Password;
use super::authority::Authority;
use super::error::HttpError;
use super::listener::{self, Kind, Port};
use super::owner;
use super::pool::{Opener, Stream};
use super::relay::Relay;
use super::signed_urls::SignedUrls;
use super::tool::Service;
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::proxy::Proxies;
use crate::connect::stream::{Answer, HttpStream};

/// What COMMAND's environment says about the proxy.
pub(crate) struct ProxyFacts {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The password of the user `sb`. Hexadecimal digits.
    pub(crate) password: String,
    /// The certificate of its CA.
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    /// The variable of each mirror, and its base URL.
    pub(crate) mirrors: Vec<(String, String)>,
}

/// A proxy that listens already.
pub(crate) struct HttpProxy<'a> {
    ports: Vec<Port>,
    service: Service<SessionStreams<'a>>,
}

impl<'a> HttpProxy<'a> {
    /// Listens on loopback, for the origins `ruled`, whose requests go over streams of `session`. Each of `mirrors` gets a
    /// port of its own; its text is the name of a variable.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn start(
        dialer: &'a Dialer,
        session: SessionId,
        ruled: Vec<RuledOrigin>,
        mirrors: &[(Origin, String)],
    ) -> Result<(Self, ProxyFacts), HttpError> {
        if !mirrors.is_empty() && !owner::KNOWS_OWNERS {
            return Err(HttpError::NoOwners);
        }
        if let Err(error) = owner::adopt_orphans() {
            warn!("orphans of COMMAND cannot use the HTTP proxy without its password: {error}");
        }
        let authority = Authority::mint(ruled.iter().map(|ruled| &ruled.origin))?;
        let password = Password::new().ok_or(HttpError::NoRandomness)?;
        let proxy = Port::bind(Kind::Proxy).await.map_err(HttpError::Listen)?;
        let mut facts = ProxyFacts {
            address: proxy.address().map_err(HttpError::Listen)?,
            password: password.text().to_owned(),
            ca_pem: authority.root_pem().to_owned(),
            ca_der: authority.root_der().to_vec(),
            mirrors: Vec::new(),
        };
        let mut ports = vec![proxy];
        for (origin, variable) in mirrors {
            let port = Port::bind(Kind::Mirror(origin.clone())).await.map_err(HttpError::Listen)?;
            let address = port.address().map_err(HttpError::Listen)?;
            facts.mirrors.push((variable.clone(), format!("http://{address}")));
            ports.push(port);
        }
        let service = Service {
            relay: Relay::new(SessionStreams { dialer, session }),
            authority,
            ruled,
            password,
            proxies: Proxies::from_env(),
            plain_proxies: Proxies::for_plain_from_env(),
        };
        Ok((Self { ports, service }, facts))
    }

    #[expect(dead_code, reason = "the leak check takes them")]
    /// The URLs for the leak check that come while COMMAND runs.
    pub(crate) fn signed_urls(&self) -> SignedUrls {
        self.service.relay.signed_urls.clone()
    }

    /// Serves COMMAND's tools until `command` resolves. Then all their connections end.
    pub(crate) async fn serve_during(
        self,
        command: impl Future<Output = io::Result<u32>>,
    ) -> io::Result<u32> {
        let pool = &self.service.relay.pool;
        let code = tokio::select! {
            biased;
            code = command => code,
            never = listener::serve(&self.ports, &self.service) => match never {},
            never = pool.maintain() => match never {},
        };
        pool.close().await;
        code
    }
}

/// The streams of the session.
struct SessionStreams<'a> {
    dialer: &'a Dialer,
    session: SessionId,
}

impl Opener for SessionStreams<'_> {
    type Stream = HttpStream;

    async fn open(&self) -> Result<HttpStream, ConnectError> {
        // Boxed, as it is large, and in the future of every connection.
        Box::pin(HttpStream::open(self.dialer, self.session)).await
    }
}

impl Stream for HttpStream {
    fn connect(&mut self, origin: &Origin) {
        self.connect(origin);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.send(bytes);
    }

    fn has_room(&self) -> bool {
        self.has_room()
    }

    async fn flushed(&mut self) -> Result<(), SessionError> {
        self.flushed().await
    }

    async fn next(&mut self) -> Result<Answer, SessionError> {
        self.next().await
    }

    async fn close(self) {
        self.close().await;
    }
}
