//! HTTP proxies (CONNECT), for builds that have no other way out.

use std::fmt;
use std::io;
use std::sync::Arc;

use proto::{Encoding, Secret, Untrusted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connect::error::Cause;
use crate::connect::host::Host;
use crate::connect::no_proxy::NoProxy;

/// Limit of the response to CONNECT, in bytes.
const MAX_RESPONSE: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// The proxy settings of the environment, for one scheme: `HTTPS_PROXY` or `HTTP_PROXY` before `ALL_PROXY`, lower case before
/// upper case.
pub(crate) struct Proxies {
    proxy: Option<Arc<Proxy>>,
    exempt: NoProxy,
}

/// Displayed without its credentials.
#[derive(Debug)]
pub(crate) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    /// `user:password`.
    credentials: Option<Secret>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Http,
    /// A scheme other than `http`.
    Unsupported,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", proto::escape(&self.host), self.port)
    }
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
        Self { proxy: parse(url).map(Arc::new), exempt: NoProxy::parse(exempt) }
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::of("", "")
    }

    /// The proxy on the way to `port` of `host`, unless these are exempt.
    pub(crate) fn for_host(&self, host: &Host, port: u16) -> Option<Arc<Proxy>> {
        self.proxy.clone().filter(|_| !self.exempt.exempts(host, port))
    }
}

impl Proxy {
    /// Host and port.
    ///
    /// # Errors
    /// [`Cause::ProxyUnsupported`].
    pub(crate) fn address(&self) -> Result<(&str, u16), Cause> {
        match self.kind {
            Kind::Http => Ok((&self.host, self.port)),
            Kind::Unsupported => Err(Cause::ProxyUnsupported),
        }
    }

    /// The value of Proxy-Authorization, if it wants one.
    pub(crate) fn authorization(&self) -> Option<Secret> {
        let credentials = Secret::new(self.credentials.as_ref()?.expose().to_vec());
        Some(Secret::new([b"Basic ", Encoding::Base64.encode(credentials).expose()].concat()))
    }
}

/// `[scheme://][user:password@]host[:port][/]`
fn parse(url: &str) -> Option<Proxy> {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    let rest = rest.split('/').next().filter(|rest| !rest.is_empty())?;
    let (credentials, authority) = match rest.rsplit_once('@') {
        Some((credentials, authority)) => (Some(Secret::new(percent_decoded(credentials))), authority),
        None => (None, rest),
    };
    let default_port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default_port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let kind = if scheme.eq_ignore_ascii_case("http") { Kind::Http } else { Kind::Unsupported };
    Some(Proxy { kind, host, port, credentials })
}

/// RFC 3986, 2.1. A `%` without two digits is kept.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Connects to `authority` (`host:port`) through `proxy`.
///
/// # Errors
/// A [`Cause`] that names the proxy.
pub(crate) async fn connect(proxy: &Proxy, authority: &str) -> Result<TcpStream, Cause> {
    let mut tcp = TcpStream::connect(proxy.address()?).await.map_err(unreachable)?;
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let request = Secret::new(request);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_credentials_not_shown() {
        let proxy = parse("http://me:p%40ss@proxy.example:3128/").unwrap();
        assert_eq!(proxy.to_string(), "proxy.example:3128");
        assert_eq!(proxy.credentials.as_ref().unwrap().expose(), b"me:p@ss");
        assert!(!format!("{proxy:?}").contains("ss\""), "{proxy:?}");
        assert_eq!(parse("proxy.example").unwrap().to_string(), "proxy.example:80");
        assert_eq!(parse("socks5://proxy.example:1080").unwrap().kind, Kind::Unsupported);
        assert_eq!(parse("http://[2001:db8::1]:3128").unwrap().host, "2001:db8::1");
        assert!(parse("").is_none());
    }
}
