//! HTTP proxies (CONNECT), for builds that have no other way out.

use std::io;
use std::sync::Arc;

use proto::Untrusted;
use proto::proxy::{NoProxy, ProxyScheme, ProxyUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connect::error::Cause;
use crate::connect::host::Host;

/// Limit of the response to CONNECT, in bytes.
const MAX_RESPONSE: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// The proxy settings of the environment, for one scheme: `HTTPS_PROXY` or `HTTP_PROXY` before `ALL_PROXY`, lower case before
/// upper case.
pub(crate) struct Proxies {
    proxy: Option<Arc<ProxyUrl>>,
    exempt: NoProxy,
}

impl Proxies {
    pub(crate) fn from_env() -> Self {
        Self::from_variables(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    }

    /// Those for plain `http://`.
    pub(crate) fn for_plain_from_env() -> Self {
        Self::from_variables(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    }

    fn from_variables(names: &[&str]) -> Self {
        // Bytes that are not UTF-8 spoil only the entry that they are in.
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(std::env::var_os);
            values.map(|value| value.to_string_lossy().into_owned()).find(|value| !value.trim().is_empty())
        };
        let proxy = first(names);
        Self::of(&proxy.unwrap_or_default(), &first(&["no_proxy", "NO_PROXY"]).unwrap_or_default())
    }

    /// Parses the URL of a proxy, and the list of `NO_PROXY`. Both may be empty.
    pub(crate) fn of(url: &str, exempt: &str) -> Self {
        Self { proxy: ProxyUrl::parse(url).map(Arc::new), exempt: NoProxy::parse(exempt) }
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::of("", "")
    }

    /// The proxy on the way to `port` of `host`, unless these are exempt.
    pub(crate) fn for_host(&self, host: &Host, port: u16) -> Option<Arc<ProxyUrl>> {
        let host = match host {
            Host::Address(ip) => &ip.to_string(),
            Host::Name(name) => name,
        };
        self.proxy.clone().filter(|_| !self.exempt.exempts(host, port))
    }
}

/// Host and port of a proxy.
///
/// # Errors
/// [`Cause::ProxyUnsupported`].
pub(crate) fn address(proxy: &ProxyUrl) -> Result<(&str, u16), Cause> {
    match proxy.scheme {
        ProxyScheme::Http => Ok((&proxy.host, proxy.port)),
        ProxyScheme::Unsupported => Err(Cause::ProxyUnsupported),
    }
}

/// Connects to `authority` (`host:port`) through `proxy`.
///
/// # Errors
/// A [`Cause`] that names the proxy.
pub(crate) async fn connect(proxy: &ProxyUrl, authority: &str) -> Result<TcpStream, Cause> {
    let mut tcp = TcpStream::connect(address(proxy)?).await.map_err(unreachable)?;
    let request = proxy.connect_request(authority);
    tcp.write_all(request.expose()).await.map_err(unreachable)?;
    match read_status(&mut tcp).await.map_err(unreachable)? {
        (200..=299, _) => Ok(tcp),
        (status, reason) => Err(Cause::ProxyRefused(status, reason)),
    }
}

fn unreachable(error: io::Error) -> Cause {
    Cause::ProxyUnreachable(Arc::new(error))
}

/// Status and reason of the response.
async fn read_status(tcp: &mut TcpStream) -> io::Result<(u16, Untrusted)> {
    let mut received = Vec::new();
    loop {
        if let Some(response) = parse_response(&received)? {
            return Ok(response);
        }
        // One byte at a time, so that nothing after the response is consumed. Responses are short.
        received.push(tcp.read_u8().await?);
    }
}

/// Status and reason of the response in `received`; `None` if more of it has to come.
///
/// # Errors
/// It is not HTTP, or longer than [`MAX_RESPONSE`].
pub(crate) fn parse_response(received: &[u8]) -> io::Result<Option<(u16, Untrusted)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(received) {
        Ok(httparse::Status::Complete(_)) => {
            Ok(Some((response.code.unwrap_or(0), Untrusted::new(response.reason.unwrap_or("")))))
        }
        Ok(httparse::Status::Partial) if received.len() < MAX_RESPONSE => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP"))
        }
    }
}
