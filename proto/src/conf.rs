//! The bridge conf: the short string with which a client finds the bridge, and both prove to each other who they are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Write;
use zeroize::{Zeroize, Zeroizing};

use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::{ConfError, WireError};
use crate::limits::{MAX_CONF, MAX_ENDPOINT_TEXT, MAX_ENDPOINTS};
use crate::secret::Secret;

/// The start of every conf of this version; fixed, so that people and secret scanners recognise one.
pub const CONF_PREFIX: &str = "sb1_";

/// Whether `text` begins as a conf of any version does. It may still be cut or mangled.
pub fn looks_like_conf(text: &str) -> bool {
    version_of(text.trim()).is_some()
}

/// SHA-256 of the CA's `SubjectPublicKeyInfo` (DER): how a client knows the bridge. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

/// The seed of the client key (Ed25519, RFC 8032): it permits use of the bridge while that runs.
#[derive(Clone)]
pub struct ClientSeed(Zeroizing<[u8; 32]>);

impl ClientSeed {
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ClientSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSeed(..)")
    }
}

/// One address at which the bridge may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address, at the conf's port.
    Address(IpAddr),
    /// `host:port` as in `--endpoint`: a DNS name or an IP address, IPv6 in brackets.
    Named {
        /// Without brackets.
        host: String,
        port: u16,
    },
}

impl FromStr for Endpoint {
    type Err = WireError;

    /// `host:port`, `1.2.3.4:port` or `[2001:db8::1]:port`.
    fn from_str(text: &str) -> Result<Self, WireError> {
        let invalid = WireError::Alphabet("endpoint: expected HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or(invalid.clone())?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(invalid.clone())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_name = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match bare {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => {
                Ok(Self::Named { host: v6.to_owned(), port })
            }
            None if host_is_name => Ok(Self::Named { host: host.to_owned(), port }),
            _ => Err(invalid),
        }
    }
}

impl Endpoint {
    /// As `host:port`, with IPv6 in brackets; `port` is the conf's.
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Self::Address(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            Self::Address(IpAddr::V4(ip)) => format!("{ip}:{port}"),
            Self::Named { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Named { host, port } => format!("{host}:{port}"),
        }
    }
}

/// All that a client needs: addresses of the bridge, the pin by which to recognise it, and the client's own key.
#[derive(Debug, Clone)]
pub struct BridgeConf {
    /// When the bridge will end by itself, in seconds since 1970. A hint for messages: the bridge ends by its own
    /// clock.
    pub expiry: Option<u64>,
    /// TCP port of every [`Endpoint::Address`].
    pub port: u16,
    pub pin: Pin,
    pub client_seed: ClientSeed,
    /// Most likely first; at most [`MAX_ENDPOINTS`].
    pub endpoints: Vec<Endpoint>,
}

impl BridgeConf {
    /// [`CONF_PREFIX`], then base64url of the CBOR and its CRC-32 (big-endian).
    pub fn to_text(&self) -> Secret {
        let mut bytes = Zeroizing::new(cbor::encode(self));
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        Secret::from(format!("{CONF_PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes)))
    }

    /// White space around the conf is ignored.
    ///
    /// # Errors
    /// [`ConfError`], which never carries the text.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ConfError::Empty);
        }
        match version_of(text) {
            None => return Err(ConfError::NotAConf),
            Some(1) => {}
            Some(other) => return Err(ConfError::OtherVersion(other)),
        }
        let encoded =
            text.get(CONF_PREFIX.len()..).filter(|_| text.len() <= MAX_CONF).ok_or(ConfError::Mangled)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| ConfError::Mangled)?);
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(ConfError::Mangled)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return Err(ConfError::Mangled);
        }
        cbor::decode(body).map_err(ConfError::Malformed)
    }
}

/// The number N of a text that begins with `sbN_`.
fn version_of(text: &str) -> Option<u32> {
    let (digits, _) = text.strip_prefix("sb")?.split_once('_')?;
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

impl<'b> Canonical<'b> for BridgeConf {
    const NAME: &'static str = "a bridge conf";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        let count = items.checked_sub(3).ok_or(Unreadable::Shape)?;
        if count > MAX_ENDPOINTS as u64 {
            return Err(WireError::OverLimit { what: "endpoints", limit: MAX_ENDPOINTS as u64 }.into());
        }
        let expiry = Some(decoder.u64()?).filter(|expiry| *expiry > 0);
        let port = decoder.u16()?;
        let (pin, seed) = decoder.bytes()?.split_first_chunk::<32>().ok_or(Unreadable::Shape)?;
        let mut seed: [u8; 32] = seed.try_into().map_err(|_| Unreadable::Shape)?;
        let client_seed = ClientSeed::new(seed);
        seed.zeroize();
        let endpoints = (0..count).map(|_| read_endpoint(decoder)).collect::<Result<_, _>>()?;
        Ok(Self { expiry, port, pin: Pin(*pin), client_seed, endpoints })
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        encoder.array(3 + self.endpoints.len() as u64)?;
        encoder.u64(self.expiry.unwrap_or(0))?.u16(self.port)?;
        let mut pin_and_seed = Zeroizing::new([0u8; 64]);
        let (pin, seed) = pin_and_seed.split_at_mut(32);
        pin.copy_from_slice(&self.pin.0);
        seed.copy_from_slice(self.client_seed.expose());
        encoder.bytes(&*pin_and_seed)?;
        for endpoint in &self.endpoints {
            match endpoint {
                Endpoint::Address(IpAddr::V4(ip)) => encoder.bytes(&ip.octets())?,
                Endpoint::Address(IpAddr::V6(ip)) => encoder.bytes(&ip.octets())?,
                Endpoint::Named { .. } => encoder.str(&endpoint.with_port(self.port))?,
            };
        }
        Ok(())
    }
}

fn read_endpoint(decoder: &mut Decoder<'_>) -> Result<Endpoint, Unreadable> {
    if decoder.datatype()? == Type::String {
        let text = decoder.str()?;
        if text.len() > MAX_ENDPOINT_TEXT {
            return Err(WireError::OverLimit { what: "endpoint", limit: MAX_ENDPOINT_TEXT as u64 }.into());
        }
        return Ok(text.parse::<Endpoint>()?);
    }
    let octets = decoder.bytes()?;
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        Ok(Endpoint::Address(v4.into()))
    } else if let Ok(v6) = <[u8; 16]>::try_from(octets) {
        Ok(Endpoint::Address(v6.into()))
    } else {
        Err(Unreadable::Shape)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conf(endpoints: Vec<Endpoint>) -> BridgeConf {
        BridgeConf {
            expiry: Some(1_795_305_600),
            port: 43857,
            pin: Pin([0xAB; 32]),
            client_seed: ClientSeed::new([0xCD; 32]),
            endpoints,
        }
    }

    fn text(conf: &BridgeConf) -> String {
        String::from_utf8(conf.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn four_endpoints_three_of_them_ipv6_stay_below_200_characters() {
        let v6 = |n: u16| Endpoint::Address(IpAddr::from([0x2001, 0xdb8, n, n, n, n, n, n]));
        let conf = conf(vec![Endpoint::Address(IpAddr::from([172, 17, 0, 1])), v6(1), v6(2), v6(3)]);
        assert!(text(&conf).len() <= 200, "{}", text(&conf).len());
        assert_eq!(BridgeConf::parse(&text(&conf)).unwrap().endpoints, conf.endpoints);
    }

    #[test]
    fn every_cut_or_changed_conf_is_rejected() {
        let whole = text(&conf(vec![Endpoint::Address(IpAddr::from([10, 0, 0, 1]))]));
        for end in 1..whole.len() {
            assert!(BridgeConf::parse(&whole[..end]).is_err(), "cut at {end}");
        }
        for index in CONF_PREFIX.len()..whole.len() {
            let mut changed = whole.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(BridgeConf::parse(&changed).err(), Some(ConfError::Mangled), "changed at {index}");
        }
    }

    #[test]
    fn empty_foreign_and_newer_confs_are_different_errors() {
        assert_eq!(BridgeConf::parse(" \n").err(), Some(ConfError::Empty));
        assert_eq!(BridgeConf::parse("http://proxy:3128").err(), Some(ConfError::NotAConf));
        assert_eq!(BridgeConf::parse("sb2_AAAA").err(), Some(ConfError::OtherVersion(2)));
    }

    #[test]
    fn named_endpoints_are_names_with_ports() {
        for good in ["bridge.example:9100", "10.1.2.3:1", "[2001:db8::1]:65535"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().with_port(1), good);
        }
        for bad in ["", "host", "host:", "host:0", "host:65536", "a b:1", "::1:80", "[x]:1", "\u{1b}[31m:1"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_client_key() {
        let shown = format!("{:?}", conf(vec![]));
        assert!(shown.contains("ClientSeed(..)") && !shown.contains("205"), "{shown}");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(sb1_)?[ -~]{0,300}") {
            let _ = BridgeConf::parse(&text);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(conf) = cbor::decode::<BridgeConf>(&bytes) {
                prop_assert_eq!(cbor::encode(&conf), bytes);
            }
        }
    }
}
