//! Origins of HTTP requests, as both sides name them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::OriginError;
use crate::limits::MAX_HOST;

/// A server that HTTP requests go to: a host and a port. The scheme is always https as far as a build sees it.
///
/// There is one form of each origin, so that origins are compared by their bytes: a host name in lower case without a
/// final dot, in ASCII (an internationalized name as its A-labels, RFC 5890), or an address in its canonical form
/// (RFC 5952), and a port that is always there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of `host` (a name, or an address without brackets) in whatever case, with or without a final dot.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn new(host: &str, port: u16) -> Result<Self, OriginError> {
        if port == 0 {
            return Err(OriginError::Port);
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port });
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        // A last label of digits, or 0x and digits, is an address in one of the forms of inet_aton(3).
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if name.len() > MAX_HOST || is_number || !name.split('.').all(is_label) {
            return Err(OriginError::Host);
        }
        Ok(Self { host: name, port })
    }

    /// The host name, or the address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as it stands in a URL or a `Host` header: an IPv6 address in brackets.
    pub fn url_host(&self) -> String {
        if self.host.parse::<Ipv6Addr>().is_ok() { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// As in a URL: without the port if it is 443.
    pub fn short(&self) -> String {
        if self.port == 443 { self.url_host() } else { self.to_string() }
    }
}

impl fmt::Display for Origin {
    /// `host:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.url_host(), self.port)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Parses `HOST:PORT`, with an IPv6 address in brackets, in whatever case.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (host, port) = text.rsplit_once(':').ok_or(OriginError::Port)?;
        let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or(OriginError::Port)?;
        match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) if address.parse::<Ipv6Addr>().is_ok() => Self::new(address, port),
            Some(_) => Err(OriginError::Host),
            None if host.contains(':') => Err(OriginError::Host),
            None => Self::new(host, port),
        }
    }
}

/// An origin for which the bridge has a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOrigin {
    pub origin: Origin,
    /// Whether plain `http://` requests to its host may go out from the build, without a credential (`plain=pass`).
    pub plain: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_has_one_form() {
        for (written, one) in [
            ("NPM.Example.:443", "npm.example:443"),
            ("localhost:4873", "localhost:4873"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("xn--bcher-kva.example:1", "xn--bcher-kva.example:1"),
            ("a_b.example:65535", "a_b.example:65535"),
        ] {
            let origin: Origin = written.parse().unwrap();
            assert_eq!(origin.to_string(), one);
            assert_eq!(one.parse(), Ok(origin));
        }
        assert_eq!("a.example:443".parse::<Origin>().unwrap().short(), "a.example");
        assert_eq!("[::1]:443".parse::<Origin>().unwrap().short(), "[::1]");
        assert_eq!("a.example:444".parse::<Origin>().unwrap().short(), "a.example:444");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "a.example",
            "a.example:",
            "a.example:0",
            "a.example:65536",
            "a.example:+1",
            "a.example:000443",
            ":443",
            "a..example:443",
            "a.example..:443",
            ".a.example:443",
            "-a.example:443",
            "a b:443",
            "a/b:443",
            "a@b:443",
            "bücher.example:443",
            "::1:443",
            "[::1:443",
            "[127.0.0.1]:443",
            "[::1%25lo]:443",
            "127.1:443",
            "2130706433:443",
            "127.0.0.0x1:443",
            "0177.0.0.1:443",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
