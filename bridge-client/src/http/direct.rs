//! Connections to what has no rule: straight from the build, or by the build's own proxy.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use proto::http::Origin;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::reply::Reply;
use crate::connect::host::Host;
use crate::connect::proxy::{self, Proxies};

/// Timeout of resolving a name, and of everything that the build's own proxy has to do.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of connecting to an address while there are others to try: a network may drop IPv6 silently.
const NOT_LAST: Duration = Duration::from_secs(3);
/// Bytes on their way, for each direction of a tunnel.
const BUFFER: usize = 8 << 10;

/// Connects to `port` of `host`, which is a name as the tool wrote it, or an address without brackets.
///
/// # Errors
/// The answer to the tool.
pub(crate) async fn connect(proxies: &Proxies, host: &str, port: u16) -> Result<TcpStream, Reply> {
    let known = host_of(host);
    let shown = shown(host, port);
    let Some(proxy) = proxies.for_host(&known, port) else { return dial(host, port).await };
    let connecting = timeout(TIMEOUT, proxy::connect(&proxy, &shown)).await;
    match connecting {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(cause)) => Err(failed(&format!("{shown} by the proxy {proxy}"), cause)),
        Err(_) => Err(failed(&format!("{shown} by the proxy {proxy}"), "timed out")),
    }
}

pub(crate) fn host_of(host: &str) -> Host {
    host.parse::<IpAddr>().map_or_else(|_| Host::Name(host.to_owned()), Host::Address)
}

fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects without a proxy.
///
/// # Errors
/// The answer to the tool.
pub(crate) async fn dial(host: &str, port: u16) -> Result<TcpStream, Reply> {
    let shown = shown(host, port);
    let resolving = timeout(TIMEOUT, lookup_host((host, port))).await;
    let addresses: Vec<_> = match resolving {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(Reply::new(502, format!("cannot resolve {host}: {error}"))),
        Err(_) => return Err(Reply::new(502, format!("cannot resolve {host}: timed out"))),
    };
    let mut last = Reply::new(502, format!("cannot resolve {host}: it has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let limit = if index + 1 == addresses.len() { TIMEOUT } else { NOT_LAST };
        last = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => failed(&shown, error),
            Err(_) => failed(&shown, "timed out"),
        };
    }
    Err(last)
}

fn failed(to: &str, cause: impl std::fmt::Display) -> Reply {
    Reply::new(502, format!("cannot connect to {to}: {cause}"))
}

/// Host and port of `authority` (`host[:port]`), the host as it was written, and the origin that they are.
pub(crate) fn parse_authority(authority: &str, default_port: u16) -> Option<(String, Origin)> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let full = if has_port { authority.to_owned() } else { format!("{authority}:{default_port}") };
    let origin: Origin = full.parse().ok()?;
    let (host, _) = full.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, origin))
}

/// Passes on everything both ways, untouched, until both sides have ended. `first` came from the tool already.
///
/// # Errors
/// If a side broke. The other one is reset then, as it would have been without a proxy between them.
pub(crate) async fn pass(first: &[u8], mut tool: TcpStream, mut server: TcpStream) -> io::Result<()> {
    server.set_nodelay(true)?;
    server.write_all(first).await?;
    let passing = tokio::io::copy_bidirectional_with_sizes(&mut tool, &mut server, BUFFER, BUFFER);
    if let Err(error) = passing.await {
        tool.set_zero_linger()?;
        server.set_zero_linger()?;
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_an_origin_and_keep_how_they_were_written() {
        let parsed =
            |authority: &str| parse_authority(authority, 80).map(|(host, origin)| (host, origin.to_string()));
        let pair = |host: &str, origin: &str| Some((host.to_owned(), origin.to_owned()));
        assert_eq!(parsed("A.example.:443"), pair("A.example.", "a.example:443"));
        assert_eq!(parsed("a.example"), pair("a.example", "a.example:80"));
        assert_eq!(parsed("[::1]:8080"), pair("::1", "[::1]:8080"));
        assert_eq!(parsed("[::1]"), pair("::1", "[::1]:80"));
        for bad in ["", ":443", "a.example:", "a.example:x", "::1", "[::1", "a]:1", "a.example:0", "a:1:2"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
