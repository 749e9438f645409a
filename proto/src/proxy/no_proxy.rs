//! `NO_PROXY`: the hosts that are dialled directly although there is a proxy.
//!
//! There is no standard for it. Go (golang.org/x/net/http/httpproxy) and curl read it differently, so a host that either of them
//! exempts is exempt here: the name of an internal host must not reach the proxy, while a direct attempt only fails.
//!
//! | entry | exempts | read so by |
//! |---|---|---|
//! | `*` | every host, also as one entry of several | Go; curl if it is the only one |
//! | `example.com`, `.example.com` | that host and its subdomains | curl; Go needs no dot for the host itself |
//! | `*.example.com` | its subdomains | Go |
//! | `10.0.0.1`, `fd00::1`, `[fd00::1]` | that address, however it is written | both; brackets: curl before 7.86 |
//! | `10.0.0.0/8`, `fd00::/8` | the addresses of that network | both, `/0` only Go |
//! | `HOST:PORT`, `[fd00::1]:PORT` | the same, for one port | Go |
//! | `10.0.0.0/8:PORT` | the same, for one port | neither: curl ignores the port |
//!
//! Entries are separated by commas or white space (curl). Upper and lower case, and one dot at the end of a name (curl), do
//! not matter. Names in other scripts are compared byte by byte: nothing is converted to Punycode. Malformed entries
//! exempt nothing. A name never matches an address, although in Go `0.0.1` matches 10.0.0.1.

use std::net::IpAddr;

/// The entries of the list. No entries exempt no host.
#[derive(Debug, Default)]
pub struct NoProxy(Vec<Entry>);

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    All,
    Domain {
        /// In lower case, without dots at its ends.
        name: String,
        /// Whether the entry covers the host of this name too, and not only its subdomains.
        itself: bool,
        /// All ports, if there is none.
        port: Option<u16>,
    },
    Network {
        network: Network,
        port: Option<u16>,
    },
}

/// The addresses whose first `prefix` bits are those of `address`.
#[derive(Debug, PartialEq, Eq)]
struct Network {
    address: Address,
    prefix: u32,
}

/// An IPv4 address in an IPv6 one (`::ffff:10.0.0.1`) is an IPv4 address, as in Go.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Address {
    V4(u32),
    V6(u128),
}

impl NoProxy {
    /// Parses a list; it may be empty.
    pub fn parse(list: &str) -> Self {
        let entries = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
        Self(entries.filter_map(Entry::parse).collect())
    }

    /// Whether connections to `port` of `host` (a name, or an address without brackets) do not use the proxy.
    pub fn exempts(&self, host: &str, port: u16) -> bool {
        let name = without_final_dot(host);
        let (address, name) =
            (name.parse().ok().map(|ip: IpAddr| Address::from(ip)), name.to_ascii_lowercase());
        self.0.iter().any(|entry| match (entry, address) {
            (Entry::All, _) => true,
            (Entry::Network { network, port: only }, Some(address)) => {
                only.is_none_or(|only| only == port) && network.contains(address)
            }
            (Entry::Domain { name: domain, itself, port: only }, None) => {
                only.is_none_or(|only| only == port)
                    && name
                        .strip_suffix(domain.as_str())
                        .is_some_and(|before| before.ends_with('.') || (*itself && before.is_empty()))
            }
            (Entry::Network { .. }, None) | (Entry::Domain { .. }, Some(_)) => false,
        })
    }
}

impl Entry {
    /// `None` for what is empty or malformed.
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(network) = Network::parse(text) {
            return Some(Self::Network { network, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(digits(port)?)),
            None => (text, None),
        };
        if let Some(network) = Network::parse(host) {
            return Some(Self::Network { network, port });
        }
        let (itself, name) = match host.strip_prefix("*.") {
            Some(name) => (false, name),
            None => (true, host.strip_prefix('.').unwrap_or(host)),
        };
        let name = without_final_dot(name).to_ascii_lowercase();
        // Characters that belong to addresses and networks: such an entry is a malformed one.
        if name.is_empty() || name.contains(['/', ':', '[', ']']) {
            return None;
        }
        Some(Self::Domain { name, itself, port })
    }
}

impl Network {
    /// `ADDRESS` or `ADDRESS/BITS`, IPv6 also in brackets.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(digits::<u32>(bits)?)),
            None => (text, None),
        };
        let ip: IpAddr = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => IpAddr::V6(inner.parse().ok()?),
            None => address.parse().ok()?,
        };
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = bits.unwrap_or(width);
        if prefix > width {
            return None;
        }
        let (address, prefix) = match (ip, Address::from(ip)) {
            (IpAddr::V4(_), address) | (IpAddr::V6(_), address @ Address::V6(_)) => (address, prefix),
            // A network of IPv6 that is wider than all of IPv4 in it.
            (IpAddr::V6(ip), Address::V4(_)) if prefix < 96 => (Address::V6(ip.to_bits()), prefix),
            (IpAddr::V6(_), address @ Address::V4(_)) => (address, prefix - 96),
        };
        Some(Self { address, prefix })
    }

    fn contains(&self, address: Address) -> bool {
        // A shift by the whole width, for `/0`, leaves nothing that could differ.
        match (self.address, address) {
            (Address::V4(own), Address::V4(other)) => {
                (own ^ other).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (Address::V6(own), Address::V6(other)) => {
                (own ^ other).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            (Address::V4(_), Address::V6(_)) | (Address::V6(_), Address::V4(_)) => false,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6(ip.to_bits()),
        }
    }
}

/// A number without a sign, which `parse` alone would accept.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempts(list: &str, host: &str, port: u16) -> bool {
        NoProxy::parse(list).exempts(host, port)
    }

    #[test]
    fn entries_exempt_what_the_table_says() {
        // The list, and hosts that it exempts and that it does not. Port 9100, if there is no other one.
        let table: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &["a.example", "10.0.0.1", "::2"]),
            (" , ,,", &[], &["a.example"]),
            ("*", &["a.example", "10.0.0.1", "2001:db8::1"], &[]),
            ("corp.example, *", &["a.example", "10.0.0.1"], &[]),
            ("*:9100", &[], &["a.example"]),
            ("*example.com", &[], &["example.com", "a.example.com", "anexample.com"]),
            (
                "example.com",
                &["example.com", "a.example.com", "a.b.example.com"],
                &["anexample.com", "example.co", "com"],
            ),
            (".example.com", &["example.com", "a.example.com"], &["anexample.com"]),
            ("*.example.com", &["a.example.com", "a.b.example.com"], &["example.com", "anexample.com"]),
            ("..example.com", &[], &["example.com", "a.example.com"]),
            ("EXAMPLE.com.", &["example.COM", "Example.com.", "a.example.com."], &["example.com.."]),
            (".", &[], &["a.example", "a.example."]),
            ("*.", &[], &["a.example"]),
            (
                "bücher.example",
                &["bücher.example", "a.bücher.example"],
                &["xn--bcher-kva.example", "b\u{fc}cher.exampl"],
            ),
            ("a.example b.example\tc.example", &["a.example", "b.example", "c.example"], &["d.example"]),
            ("a.example ,b.example", &["a.example", "b.example"], &[]),
            ("http://a.example", &[], &["a.example"]),
            ("a.example/x", &[], &["a.example"]),
            // Addresses.
            (
                "10.0.0.1",
                &["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1."],
                &["10.0.0.11", "110.0.0.1", "a.10.0.0.1"],
            ),
            ("0.0.1", &[], &["10.0.0.1"]),
            (".1", &[], &["10.0.0.1"]),
            ("1", &["a.1"], &["10.0.0.1"]),
            ("10.0.0.1.", &["a.10.0.0.1"], &["10.0.0.1"]),
            ("010.0.0.1", &[], &["10.0.0.1"]),
            ("2001:DB8::1", &["2001:db8::1", "2001:db8:0:0::1"], &["2001:db8::10", "2001:db8::"]),
            ("[2001:db8::1]", &["2001:db8::1"], &["2001:db8::2"]),
            ("[10.0.0.1]", &[], &["10.0.0.1"]),
            ("[2001:db8::1", &[], &["2001:db8::1"]),
            ("fe80::1%eth0", &[], &["fe80::1"]),
            // Networks.
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["11.0.0.0", "9.255.255.255", "a.example"],
            ),
            ("10.1.2.3/8", &["10.200.0.1"], &["11.0.0.1"]),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]),
            ("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6"]),
            ("192.0.2.6/31", &["192.0.2.6", "192.0.2.7"], &["192.0.2.8"]),
            ("0.0.0.0/0", &["10.0.0.1", "203.0.113.9"], &["2001:db8::1", "a.example"]),
            ("::/0", &["2001:db8::1"], &["10.0.0.1", "a.example"]),
            ("::ffff:0:0/95", &[], &["10.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.1.2.3"], &["11.0.0.1"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::1"]),
            ("[2001:db8::]/32", &["2001:db8:1::1"], &["2001:db9::1"]),
            ("2001:db8::1/128", &["2001:db8::1"], &["2001:db8::"]),
            ("10.0.0.0/33", &[], &["10.0.0.0"]),
            ("2001:db8::/129", &[], &["2001:db8::"]),
            ("10.0.0.0/", &[], &["10.0.0.0"]),
            ("10.0.0.0/+8", &[], &["10.0.0.0"]),
            ("10.0.0.0/-1", &[], &["10.0.0.0"]),
            ("10.0.0.0/8/8", &[], &["10.0.0.0"]),
            ("10.0/8", &[], &["10.0.0.1"]),
            ("10.0.0.0/255.0.0.0", &[], &["10.0.0.1"]),
            ("10.0.0.0/8:9100", &["10.0.0.1"], &["11.0.0.1"]),
            ("10.0.0.0/8:9101", &[], &["10.0.0.1"]),
            ("[2001:db8::]/32:9100", &["2001:db8::1"], &["2001:db9::1"]),
            ("/8", &[], &["10.0.0.1"]),
            // Ports.
            ("example.com:9100", &["example.com", "a.example.com"], &["b.example"]),
            ("example.com:9101", &[], &["example.com"]),
            (".example.com:9100", &["a.example.com"], &[]),
            ("*.example.com:9100", &["a.example.com"], &["example.com"]),
            ("10.0.0.1:9100", &["10.0.0.1"], &["10.0.0.2"]),
            ("10.0.0.1:80", &[], &["10.0.0.1"]),
            ("[2001:db8::1]:9100", &["2001:db8::1"], &["2001:db8::2"]),
            ("[2001:db8::1]:9101", &[], &["2001:db8::1"]),
            // An address, not an address with a port.
            ("2001:db8::1:9100", &["2001:db8::1:9100"], &["2001:db8::1"]),
            (":9100", &[], &["a.example", "10.0.0.1"]),
            ("example.com:", &[], &["example.com"]),
            ("example.com:https", &[], &["example.com"]),
            ("example.com:+9100", &[], &["example.com"]),
            ("example.com:99999", &[], &["example.com"]),
        ];
        for (list, exempt, others) in table {
            for host in *exempt {
                assert!(exempts(list, host, 9100), "{list:?} exempts {host}");
            }
            for host in *others {
                assert!(!exempts(list, host, 9100), "{list:?} does not exempt {host}");
            }
        }
    }

    #[test]
    fn an_entry_with_a_port_exempts_no_other_port() {
        for host in ["example.com", "10.0.0.1", "2001:db8::1"] {
            let list = "example.com:443,10.0.0.1:443,[2001:db8::1]:443";
            assert!(exempts(list, host, 443) && !exempts(list, host, 4430) && !exempts(list, host, 44));
        }
    }
}
