//! TCP connections to names, whatever addresses they have.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::error::ConnectError;

/// Time for the resolver, and again for the TCP connection. A filtered address must not take as long as the system's own
/// time-out, which is two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the next address is tried beside those that have not answered (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Most addresses that are tried.
const MAX_ADDRESSES: usize = 16;

/// Connects to a name or an address.
///
/// # Errors
/// [`ConnectError`].
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let resolved = timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await;
    let resolved = resolved.map_err(|_| ConnectError::DnsTimeout(CONNECT_TIMEOUT.as_secs()))?;
    let addresses = alternating(resolved.map_err(ConnectError::Dns)?.collect());
    if addresses.is_empty() {
        return Err(ConnectError::NoAddress);
    }
    let connected = timeout(CONNECT_TIMEOUT, first_of(&addresses)).await;
    let stream = connected.map_err(|_| ConnectError::Timeout(CONNECT_TIMEOUT.as_secs()))??;
    // Heads and ends of bodies are small and awaited; a failure costs only time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The addresses with IPv6 and IPv4 in turns, each family in the resolver's order, as RFC 8305 has it.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None; 2] || ordered.len() >= MAX_ADDRESSES {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// The first connection that is established. Another address is tried when one has failed, or has not answered for
/// [`STAGGER`].
async fn first_of(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut left = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = left.next() {
            attempts.push(async move { (address, TcpStream::connect(*address).await) });
        } else if attempts.is_empty() {
            return Err(ConnectError::Addresses(failed));
        }
        tokio::select! {
            Some((address, result)) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => failed.push(format!("{}: {error}", address.ip())),
            },
            () = sleep(STAGGER), if left.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn addresses_of_both_families_take_turns() {
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"].map(|text| text.parse().unwrap());
        assert_eq!(alternating(vec![a, b, c, d]), [a, d, b, c]);
        assert_eq!(alternating(vec![d, a, b]), [d, a, b]);
        assert_eq!(alternating(Vec::new()), []);
        assert_eq!(alternating(vec![a; 100]).len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_stop_the_next() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert_eq!(first_of(&[closed, good]).await.unwrap().peer_addr().unwrap(), good);
        let error = first_of(&[closed, closed]).await.unwrap_err();
        assert_eq!(error.word(), "unreachable");
        assert_eq!(error.to_string().matches("127.0.0.1: ").count(), 2, "{error}");
    }
}
