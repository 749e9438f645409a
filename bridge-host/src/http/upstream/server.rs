//! The server of a rule. Its address, SNI and Host come from the rule, never from a request.

use std::sync::Arc;

use proto::http::Origin;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};

/// Where the requests of a rule go.
pub(crate) struct Server {
    pub(crate) origin: Origin,
    /// `None` for plain HTTP.
    pub(crate) tls: Option<ServerTls>,
}

pub(crate) struct ServerTls {
    pub(crate) config: Arc<ClientConfig>,
    /// What its certificate must be for.
    pub(crate) name: ServerName<'static>,
}

impl Server {
    /// A server that is asked over TLS with this configuration, if there is one.
    ///
    /// # Errors
    /// If no certificate can be for the origin's host.
    pub(crate) fn new(
        origin: Origin,
        config: Option<Arc<ClientConfig>>,
    ) -> Result<Self, InvalidDnsNameError> {
        let tls = match config {
            None => None,
            Some(config) => Some(ServerTls { config, name: ServerName::try_from(origin.host().to_owned())? }),
        };
        Ok(Self { origin, tls })
    }
}
