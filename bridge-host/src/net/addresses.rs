//! The addresses that go into the conf.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use proto::Endpoint;

/// Most endpoints in a conf: four fit into its 200 characters.
const MAX_ADVERTISED: usize = 4;

/// The endpoints of a bridge that listens on `local`: the `named` ones first, then the addresses of this machine that
/// a build is most likely to reach. Clients add loopback and their default gateway themselves.
pub(crate) fn advertised(local: SocketAddr, named: &[Endpoint]) -> Vec<Endpoint> {
    let addresses = if local.ip().is_unspecified() {
        let mut addresses = of_this_machine();
        addresses.truncate(MAX_ADVERTISED.saturating_sub(named.len()));
        addresses
    } else {
        vec![local.ip()]
    };
    named.iter().cloned().chain(addresses.into_iter().map(Endpoint::Address)).collect()
}

pub(crate) fn all_of_this_machine() -> Vec<IpAddr> {
    if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect()
}

/// The addresses of this machine, best first: the source addresses of its default routes, then container bridges, then
/// other interfaces. IPv4 comes before IPv6, since container networks have the former.
fn of_this_machine() -> Vec<IpAddr> {
    let from_default_route = [default_route_v4(), default_route_v6()];
    let mut ranked: Vec<(u8, IpAddr)> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| is_reachable_from_elsewhere(interface.ip()))
        .map(|interface| {
            let ip = interface.ip();
            let kind = if from_default_route.contains(&Some(ip)) {
                0
            } else if is_container_bridge(&interface.name) {
                1
            } else {
                2
            };
            (kind + if ip.is_ipv6() { 3 } else { 0 }, ip)
        })
        .collect();
    ranked.sort();
    ranked.dedup();
    let addresses: Vec<IpAddr> = ranked.into_iter().map(|(_, ip)| ip).collect();
    if addresses.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { addresses }
}

fn is_reachable_from_elsewhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local(),
        // A link-local IPv6 address is of no use without its interface.
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

fn is_container_bridge(interface: &str) -> bool {
    ["docker", "br-", "podman", "cni", "virbr", "vEthernet"]
        .iter()
        .any(|prefix| interface.starts_with(prefix))
}

/// The source address of the default route. Connecting a UDP socket sends nothing; it only consults the routing table.
/// The destinations are reserved for documentation (RFC 5737, RFC 3849).
fn default_route_v4() -> Option<IpAddr> {
    source_address_towards((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into())
}

fn default_route_v6() -> Option<IpAddr> {
    let destination = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    source_address_towards((Ipv6Addr::UNSPECIFIED, 0).into(), (destination, 9).into())
}

fn source_address_towards(from: SocketAddr, to: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_at_one_address_advertises_only_that_one() {
        let endpoints = advertised("127.0.0.1:9100".parse().unwrap(), &[]);
        assert_eq!(endpoints, [Endpoint::Address(Ipv4Addr::LOCALHOST.into())]);
    }

    #[test]
    fn named_endpoints_come_first_and_four_are_the_limit() {
        let named: Vec<Endpoint> = vec!["bridge.example:9100".parse().unwrap()];
        let endpoints = advertised("[::]:9100".parse().unwrap(), &named);
        assert_eq!(endpoints[0], named[0]);
        assert!((2..=4).contains(&endpoints.len()), "{endpoints:?}");
    }
}
