//! Host names: as a user writes them, and as known_hosts files have them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use proto::escape;
use thiserror::Error;

use crate::key::fingerprint::{Fingerprint, InvalidFingerprint};

const SSH_PORT: u16 = 22;

/// A host by name and port, in lower case. Displays as in known_hosts files: `name` or `[name]:port`. It is written into
/// such a file on the client's side, so it has no characters with a meaning there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    name: String,
    port: u16,
}

/// A host that a user allows: `NAME[:PORT]`, or `NAME[:PORT]=SHA256:…` to give its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHostSpec {
    pub(crate) name: HostName,
    pub(crate) key: Option<Fingerprint>,
}

/// A text that is not an [`AllowedHostSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllowedHostSpecError {
    #[error("invalid host name {}: write NAME, NAME:PORT or, with an IPv6 address, [ADDRESS]:PORT", escape(.0))]
    Name(String),
    #[error("invalid port {}: write a number from 1 to 65535", escape(.0))]
    Port(String),
    #[error(transparent)]
    Fingerprint(#[from] InvalidFingerprint),
}

impl HostName {
    /// Without the port, as certificates name hosts.
    pub(crate) fn without_port(&self) -> &str {
        &self.name
    }

    pub(crate) fn has_default_port(&self) -> bool {
        self.port == SSH_PORT
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_default_port() {
            f.write_str(&self.name)
        } else {
            write!(f, "[{}]:{}", self.name, self.port)
        }
    }
}

impl FromStr for HostName {
    type Err = AllowedHostSpecError;

    fn from_str(text: &str) -> Result<Self, AllowedHostSpecError> {
        let wrong = || AllowedHostSpecError::Name(text.to_owned());
        let (name, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (name, rest) = bracketed.split_once(']').ok_or_else(wrong)?;
            match rest.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if rest.is_empty() => (name, None),
                None => return Err(wrong()),
            }
        } else {
            match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => SSH_PORT,
            Some(port) => match port.parse() {
                Ok(number) if number != 0 && !port.starts_with('+') => number,
                Ok(_) | Err(_) => return Err(AllowedHostSpecError::Port(port.to_owned())),
            },
        };
        if let Ok(address) = name.parse::<Ipv6Addr>() {
            return Ok(Self { name: address.to_string(), port });
        }
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if is_name { Ok(Self { name: name.to_ascii_lowercase(), port }) } else { Err(wrong()) }
    }
}

impl fmt::Display for AllowedHostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            None => self.name.fmt(f),
            Some(key) => write!(f, "{} with the key {key}", self.name),
        }
    }
}

impl FromStr for AllowedHostSpec {
    type Err = AllowedHostSpecError;

    fn from_str(text: &str) -> Result<Self, AllowedHostSpecError> {
        let (name, key) = match text.split_once('=') {
            Some((name, key)) => (name, Some(key.parse()?)),
            None => (text, None),
        };
        Ok(Self { name: name.parse()?, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_displays_as_in_known_hosts() {
        for (text, shown) in [
            ("github.com", "github.com"),
            ("GitHub.com:22", "github.com"),
            ("git.example:2222", "[git.example]:2222"),
            ("[git.example]:2222", "[git.example]:2222"),
            ("10.0.0.1", "10.0.0.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8:0::1]:2222", "[2001:db8::1]:2222"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn characters_with_a_meaning_in_known_hosts_are_refused() {
        for text in
            ["", "*", "a b", "a,b", "!a", "|1|a|b", "@revoked", "a\nb", "2001:db8::1", "[a", "[a]b", "ä"]
        {
            let result = text.parse::<HostName>();
            assert!(
                matches!(result, Err(AllowedHostSpecError::Name(_) | AllowedHostSpecError::Port(_))),
                "{text}"
            );
        }
        for text in ["a:", "a:0", "a:65536", "a:+22", "[::1]:x"] {
            assert!(matches!(text.parse::<HostName>(), Err(AllowedHostSpecError::Port(_))), "{text}");
        }
    }

    #[test]
    fn a_spec_may_have_a_fingerprint() {
        let fingerprint = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        let spec: AllowedHostSpec = format!("github.com={fingerprint}").parse().unwrap();
        assert_eq!(
            spec,
            AllowedHostSpec { name: "github.com".parse().unwrap(), key: fingerprint.parse().ok() }
        );
        assert!(matches!(
            "github.com=SHA256:x".parse::<AllowedHostSpec>(),
            Err(AllowedHostSpecError::Fingerprint(_))
        ));
    }
}
