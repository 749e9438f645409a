//! Addresses where the bridge may be, most likely first.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proto::proxy::ProxyUrl;
use proto::{BridgeConf, Endpoint};

use crate::connect::host::Host;
use crate::connect::network;
use crate::connect::proxy::Proxies;

/// Limit of the addresses to try.
const MAX_CANDIDATES: usize = 16;
/// Names by which container engines know their host (Docker Desktop, Podman).
const WELL_KNOWN_NAMES: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

/// Why an address is a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Option,
    Conf,
    Loopback,
    Gateway,
    WellKnownName,
}

/// An address to try, and the proxy on the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// `None` connects directly.
    pub(crate) proxy: Option<Arc<ProxyUrl>>,
    origin: Origin,
}

impl Candidate {
    /// `host:port`, IPv6 in brackets.
    pub(crate) fn authority(&self) -> String {
        match &self.host {
            Host::Address(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            Host::Address(IpAddr::V4(ip)) => format!("{ip}:{}", self.port),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }

    /// Whether neither the user nor the conf named it. Such an address is near, or wrong.
    pub(crate) fn is_guess(&self) -> bool {
        match self.origin {
            Origin::Option | Origin::Conf => false,
            Origin::Loopback | Origin::Gateway | Origin::WellKnownName => true,
        }
    }

    /// Why it was tried, for messages. Empty where the address itself says it.
    pub(crate) fn note(&self) -> &'static str {
        match self.origin {
            Origin::Option | Origin::Conf | Origin::WellKnownName => "",
            Origin::Loopback => "loopback",
            Origin::Gateway => "the default gateway",
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())?;
        match &self.proxy {
            Some(proxy) => write!(f, " by proxy {proxy}"),
            None => Ok(()),
        }
    }
}

/// The addresses in `named` (`--endpoint`), then those of the conf. Public addresses go through the proxy, if there is one.
/// Private addresses are tried both directly and through the proxy.
pub(crate) fn named(conf: &BridgeConf, endpoints: &[Endpoint], proxies: &Proxies) -> Vec<Candidate> {
    let addresses = (endpoints.iter().map(|endpoint| parsed(Origin::Option, endpoint, conf.port)))
        .chain(conf.endpoints.iter().map(|endpoint| parsed(Origin::Conf, endpoint, conf.port)));

    let mut direct: Vec<Candidate> = Vec::new();
    let mut proxied: Vec<Candidate> = Vec::new();
    for (origin, host, port) in addresses {
        if direct.iter().chain(&proxied).any(|known| known.host == host && known.port == port) {
            continue;
        }
        let reach = reach(&host);
        let proxy = match reach {
            Reach::Local => None,
            Reach::Private | Reach::Public => proxies.for_host(&host, port),
        };
        // A private address may be in this network or behind the proxy.
        if proxy.is_none() || reach == Reach::Private {
            direct.push(Candidate { host: host.clone(), port, proxy: None, origin });
        }
        if proxy.is_some() {
            proxied.push(Candidate { host, port, proxy, origin });
        }
    }
    let mut all: Vec<Candidate> = direct.into_iter().chain(proxied).collect();
    all.truncate(MAX_CANDIDATES);
    all
}

/// Addresses that a container's host usually has, without those in `named`. All are local, so no proxy is used.
pub(crate) fn guessed(port: u16, named: &[Candidate]) -> Vec<Candidate> {
    let gateways = network::default_gateways().into_iter().map(|ip| (Origin::Gateway, Host::Address(ip)));
    let loopback = (Origin::Loopback, Host::Address(Ipv4Addr::LOCALHOST.into()));
    let well_known =
        WELL_KNOWN_NAMES.iter().map(|name| (Origin::WellKnownName, Host::Name((*name).to_owned())));
    let mut guessed: Vec<Candidate> = Vec::new();
    for (origin, host) in gateways.chain([loopback]).chain(well_known) {
        if !named.iter().chain(&guessed).any(|known| known.host == host && known.port == port) {
            guessed.push(Candidate { host, port, proxy: None, origin });
        }
    }
    guessed.truncate(MAX_CANDIDATES.saturating_sub(named.len()));
    guessed
}

fn parsed(origin: Origin, endpoint: &Endpoint, port: u16) -> (Origin, Host, u16) {
    match endpoint {
        Endpoint::Address(ip) => (origin, Host::Address(*ip), port),
        Endpoint::Named { host, port } => {
            let host = host.parse().map_or_else(|_| Host::Name(host.clone()), Host::Address);
            (origin, host, *port)
        }
    }
}

/// How far away a host is, which decides whether a proxy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// This machine, its link, or the host of its container engine. Never through a proxy.
    Local,
    /// In a private network.
    Private,
    /// Anything else, including names.
    Public,
}

fn reach(host: &Host) -> Reach {
    match host {
        Host::Name(name) if name == "localhost" || WELL_KNOWN_NAMES.contains(&name.as_str()) => Reach::Local,
        Host::Name(_) => Reach::Public,
        Host::Address(IpAddr::V4(ip)) if ip.is_loopback() || ip.is_link_local() => Reach::Local,
        Host::Address(IpAddr::V6(ip)) if ip.is_loopback() || ip.is_unicast_link_local() => Reach::Local,
        Host::Address(IpAddr::V4(ip)) if ip.is_private() || is_shared(*ip) => Reach::Private,
        Host::Address(IpAddr::V6(ip)) if ip.is_unique_local() => Reach::Private,
        Host::Address(_) => Reach::Public,
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use proto::{ClientSeed, Pin};

    use super::*;

    fn conf(endpoints: &[&str]) -> BridgeConf {
        BridgeConf {
            expiry: None,
            port: 9100,
            pin: Pin([0; 32]),
            client_seed: ClientSeed::new([0; 32]),
            endpoints: endpoints.iter().map(|ip| Endpoint::Address(ip.parse().unwrap())).collect(),
        }
    }

    fn shown(conf: &BridgeConf, endpoints: &[Endpoint], proxies: &Proxies) -> Vec<String> {
        let named = named(conf, endpoints, proxies);
        named.iter().chain(&guessed(conf.port, &named)).map(ToString::to_string).collect()
    }

    #[test]
    fn named_addresses_come_first_and_none_comes_twice() {
        let named = ["bridge.example:1".parse().unwrap()];
        let all = shown(&conf(&["10.0.0.1", "127.0.0.1", "10.0.0.1"]), &named, &Proxies::none());
        assert_eq!(all[..3], ["bridge.example:1", "10.0.0.1:9100", "127.0.0.1:9100"]);
        assert_eq!(all.iter().filter(|shown| *shown == "127.0.0.1:9100").count(), 1);
        assert!(all.contains(&"host.docker.internal:9100".to_owned()));
    }

    #[test]
    fn no_more_than_the_limit_are_tried() {
        let many: Vec<Endpoint> = (1..40).map(|n| format!("h{n}.example:1").parse().unwrap()).collect();
        assert_eq!(shown(&conf(&[]), &many, &Proxies::none()).len(), MAX_CANDIDATES);
    }

    #[test]
    fn only_public_and_private_addresses_use_the_proxy() {
        let proxies = Proxies::of("http://user:pw@proxy.example:3128", "");
        let all = shown(&conf(&["127.0.0.1", "10.0.0.1", "203.0.113.9"]), &[], &proxies);
        assert!(all.contains(&"203.0.113.9:9100 by proxy proxy.example:3128".to_owned()), "{all:?}");
        assert!(!all.contains(&"203.0.113.9:9100".to_owned()));
        assert!(all.contains(&"10.0.0.1:9100".to_owned()));
        assert!(all.contains(&"10.0.0.1:9100 by proxy proxy.example:3128".to_owned()));
        assert!(!all.iter().any(|shown| shown.starts_with("127.0.0.1:9100 by")));
        assert!(!all.iter().any(|shown| shown.contains("pw")));
    }
}
