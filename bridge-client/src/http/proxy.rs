//! The proxy on loopback that COMMAND's tools use.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use proto::SessionId;
use proto::http::{Origin, RuledOrigin};
use tokio::net::TcpListener;

use super::error::HttpError;
use crate::connect::dial::Dialer;

/// What COMMAND's environment says about the proxy.
#[expect(dead_code, reason = "the variables of COMMAND are set from it")]
pub(crate) struct ProxyFacts {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The password of the user `sb`.
    pub(crate) password: String,
    /// The certificate of its CA.
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    /// The variable of each mirror, and its base URL.
    pub(crate) mirrors: Vec<(String, String)>,
}

pub(crate) struct HttpProxy<'a> {
    listener: TcpListener,
    _dialer: &'a Dialer,
    _session: SessionId,
}

impl<'a> HttpProxy<'a> {
    /// Listens on loopback for the streams of `session`.
    pub(crate) async fn start(
        dialer: &'a Dialer,
        session: SessionId,
        _ruled: Vec<RuledOrigin>,
        _mirrors: &[(Origin, String)],
    ) -> Result<(Self, ProxyFacts), HttpError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(HttpError::Listen)?;
        let address = listener.local_addr().map_err(HttpError::Listen)?;
        let facts = ProxyFacts {
            address,
            password: String::new(),
            ca_pem: String::new(),
            ca_der: Vec::new(),
            mirrors: Vec::new(),
        };
        Ok((Self { listener, _dialer: dialer, _session: session }, facts))
    }

    /// Serves COMMAND's tools until `command` resolves.
    pub(crate) async fn serve_during(
        self,
        command: impl Future<Output = io::Result<u32>>,
    ) -> io::Result<u32> {
        let mut command = std::pin::pin!(command);
        loop {
            tokio::select! {
                code = &mut command => return code,
                accepted = self.listener.accept() => drop(accepted),
            }
        }
    }
}
