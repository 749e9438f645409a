//! The proxy settings that both sides read from their environment: the URL of a proxy, and `NO_PROXY`.

use std::fmt;

use crate::key::Encoding;
use crate::secret::Secret;

mod no_proxy;

pub use no_proxy::NoProxy;

/// A proxy, as a URL names it. Displayed without its credentials.
#[derive(Debug)]
pub struct ProxyUrl {
    pub scheme: ProxyScheme,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// `user:password`.
    credentials: Option<Secret>,
}

/// How to speak to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    Http,
    /// A scheme other than `http`.
    Unsupported,
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", crate::escape(&self.host), self.port)
    }
}

impl ProxyUrl {
    /// Parses `[scheme://][user:password@]host[:port][/]`; `None` for what is empty or malformed.
    pub fn parse(url: &str) -> Option<Self> {
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
        let scheme =
            if scheme.eq_ignore_ascii_case("http") { ProxyScheme::Http } else { ProxyScheme::Unsupported };
        Some(Self { scheme, host, port, credentials })
    }

    /// The value of Proxy-Authorization, if the proxy wants one.
    pub fn authorization(&self) -> Option<Secret> {
        let credentials = Secret::new(self.credentials.as_ref()?.expose().to_vec());
        Some(Secret::new([b"Basic ", Encoding::Base64.encode(credentials).expose()].concat()))
    }

    /// The request by which a client asks for a tunnel to `authority` (`host:port`): RFC 9110, 9.3.6. A secret, since it
    /// has the proxy's credentials.
    pub fn connect_request(&self, authority: &str) -> Secret {
        let begin = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        // One allocation of the right size: a vector that grows leaves copies behind.
        Secret::new(match self.authorization() {
            Some(value) => [begin.as_bytes(), b"Proxy-Authorization: ", value.expose(), b"\r\n\r\n"].concat(),
            None => [begin.as_bytes(), b"\r\n"].concat(),
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_credentials_not_shown() {
        let proxy = ProxyUrl::parse("http://me:p%40ss@proxy.example:3128/").unwrap();
        assert_eq!(proxy.to_string(), "proxy.example:3128");
        assert_eq!(proxy.credentials.as_ref().unwrap().expose(), b"me:p@ss");
        assert!(!format!("{proxy:?}").contains("ss\""), "{proxy:?}");
        assert_eq!(ProxyUrl::parse("proxy.example").unwrap().to_string(), "proxy.example:80");
        let socks = ProxyUrl::parse("socks5://proxy.example:1080").unwrap();
        assert_eq!(socks.scheme, ProxyScheme::Unsupported);
        assert_eq!(ProxyUrl::parse("http://[2001:db8::1]:3128").unwrap().host, "2001:db8::1");
        assert!(ProxyUrl::parse("").is_none());
    }

    #[test]
    fn the_request_for_a_tunnel_has_the_credentials() {
        let request = |url| ProxyUrl::parse(url).unwrap().connect_request("a.example:443");
        assert_eq!(
            request("me:p%40ss@proxy.example").expose(),
            b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
        );
        assert_eq!(
            request("proxy.example").expose(),
            b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
        );
    }
}
