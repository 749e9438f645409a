//! Routes and devices of this network namespace (proc(5), proc_net(5)).

use std::fs::{File, read_to_string};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longer than usual routing tables. The kernel walks a table again for each read, so it is read at once.
const TABLE_SIZE: usize = 8 << 10;

/// The gateways of the default routes. In a container, this is usually the host.
pub(crate) fn default_gateways() -> Vec<IpAddr> {
    let v4 = table("/proc/net/route").lines().skip(1).filter_map(default_v4).collect::<Vec<_>>();
    let v6 = table("/proc/net/ipv6_route").lines().filter_map(default_v6).collect::<Vec<_>>();
    v4.into_iter().chain(v6).collect()
}

/// The contents of a routing table, or nothing if it cannot be read.
fn table(path: &str) -> String {
    let mut text = String::with_capacity(TABLE_SIZE);
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

/// Fields of a line: interface, destination, gateway, flags, …, mask. Addresses are hexadecimal, in native byte order.
fn default_v4(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let destination = fields.next()?;
    let gateway = u32::from_str_radix(fields.next()?, 16).ok()?;
    (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
}

/// Fields of a line: destination, its prefix length, source, its prefix length, next hop, …, interface.
fn default_v6(line: &str) -> Option<IpAddr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "00", _, _, next_hop, ..] = fields.as_slice() else { return None };
    let gateway = Ipv6Addr::from(u128::from_str_radix(next_hop, 16).ok()?);
    // A link-local gateway cannot be dialled without naming the interface.
    (!gateway.is_unspecified() && !gateway.is_unicast_link_local()).then_some(gateway.into())
}

/// Whether loopback is the only network, as under `--network=none`.
pub(crate) fn has_only_loopback() -> bool {
    read_to_string("/proc/net/dev").is_ok_and(|devices| {
        // Two lines of headings, then `name: counters`. Tunnel devices exist in every namespace and do not count.
        devices.lines().skip(2).filter_map(|line| line.split(':').next()).all(|name| {
            matches!(name.trim(), "lo" | "tunl0" | "sit0" | "ip6tnl0" | "gre0" | "gretap0" | "erspan0")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_recognised() {
        let line = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        assert_eq!(default_v4(line), Some(Ipv4Addr::new(172, 17, 0, 1).into()));
        assert_eq!(default_v4("eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), None);
        assert_eq!(default_v4("garbage"), None);
    }
}
