//! The listening socket, and the peers that it accepts.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::HostError;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{Listener, NewConnection};
#[cfg(windows)]
pub(crate) use windows::{Listener, NewConnection};

/// Length of the system's queue of connections that are not accepted yet; Linux takes at most net.core.somaxconn, 4,096 by
/// default. Where it overflows, a client's SYN is lost, and its system repeats that after 1 s.
const BACKLOG: i32 = 4096;

/// Where to listen. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `None` for all addresses, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The first free port of these is used.
    pub ports: RangeInclusive<u16>,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => f.write_str("*")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
        }
        let (first, last) = (self.ports.start(), self.ports.end());
        if first == last { write!(f, ":{first}") } else { write!(f, ":{first}-{last}") }
    }
}

/// Listens on the first free port of `listen`.
///
/// # Errors
/// [`HostError::Listen`] with the cause for the last port tried.
pub(crate) fn bind(listen: &Listen) -> Result<Listener, HostError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in listen.ports.clone() {
        let bound = match listen.address {
            Some(ip) => listen_at(SocketAddr::new(ip, port)),
            // Without IPv6 on this machine, IPv4 alone is bound.
            None => listen_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|error| {
                if error.kind() == io::ErrorKind::AddrInUse {
                    Err(error)
                } else {
                    listen_at(SocketAddr::new([0, 0, 0, 0].into(), port))
                }
            }),
        };
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(HostError::Listen { at: listen.to_string(), source: last })
}

fn listen_at(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Platforms differ in the default; here an unspecified address means both families everywhere.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // On Unix this lets a new bridge use the port of an old one at once; on Windows it would let two listen there.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Listener::new(socket.into())
}

/// The peer's address for logs and policy: an IPv4 address that an IPv6 socket reports as mapped becomes IPv4.
pub(crate) fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// The peers whose connections are accepted. Those of others are dropped before TLS.
#[derive(Debug, Clone)]
pub enum AllowFrom {
    /// This machine itself, and loopback, private, link-local and shared ranges (RFC 1918, 4193, 3927, 4291, 6598).
    Near,
    /// Peers in one of these ranges.
    Ranges(Vec<IpNet>),
}

impl AllowFrom {
    /// Whether connections from `peer` are accepted by a machine with the addresses `own`.
    pub fn admits(&self, peer: IpAddr, own: &[IpAddr]) -> bool {
        match self {
            Self::Near => is_near(peer) || own.contains(&peer),
            Self::Ranges(ranges) => ranges.iter().any(|range| range.contains(&peer)),
        }
    }
}

fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_this_machine_and_near_peers_are_accepted() {
        let admits = |peer: &str| AllowFrom::Near.admits(peer.parse().unwrap(), &[[203, 0, 113, 7].into()]);
        for ip in [
            "127.0.0.1",
            "172.17.0.2",
            "192.168.1.1",
            "100.64.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "203.0.113.7",
        ] {
            assert!(admits(ip), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!admits(ip), "{ip}");
        }
    }
}
