//! The throwaway CA whose certificates the proxy shows to COMMAND's tools.
//!
//! Root → intermediate → leaf. The name constraints are in the intermediate, since JVMs do not enforce those of a trust
//! anchor. The root's key is dropped once the intermediate is signed, so that nothing can sign what the constraints do not
//! permit. All keys are P-256, which every tool accepts; a JVM before 15 does not accept Ed25519.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::http::Origin;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use thiserror::Error;

/// From now on. No COMMAND of a build takes longer.
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
/// Before now: the clock may be set back while COMMAND runs, as it is when a virtual machine synchronizes it.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
/// The one DNS name that the CA may certify when every ruled host is an address: without any, it could certify all names.
/// Names under `invalid` never exist (RFC 6761, 6.4).
const NO_NAME: &str = "secrets-bridge.invalid";

/// Why the proxy has no certificate.
#[derive(Debug, Error)]
pub enum AuthorityError {
    #[error("certificate generation failed: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("invalid TLS parameters: {0}")]
    Tls(#[from] rustls::Error),
}

/// The CA of one proxy, without the root's key.
pub(crate) struct Authority {
    root_pem: String,
    root_der: Vec<u8>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    /// By host. A leaf is made when it is first needed.
    configs: RefCell<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    /// A new CA for the hosts of `origins`.
    ///
    /// # Errors
    /// [`AuthorityError`]: no randomness.
    pub(crate) fn mint<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Result<Self, AuthorityError> {
        let hosts = origins.into_iter().map(Origin::host).collect();
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root_params = ca_params("secrets-bridge proxy root", 1);
        let root = root_params.self_signed(&root_key)?;
        let root_issuer = Issuer::new(root_params, root_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = ca_params("secrets-bridge proxy", 0);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // rcgen marks this extension as critical (RFC 5280, 4.2.1.10).
        params.name_constraints = Some(constraints(&hosts));
        let intermediate = params.signed_by(&key, &root_issuer)?;
        Ok(Self {
            root_pem: pem(root.der()),
            root_der: root.der().to_vec(),
            intermediate: intermediate.der().clone(),
            issuer: Issuer::new(params, key),
            provider: provider(),
            configs: RefCell::default(),
        })
    }

    /// The root's certificate.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    pub(crate) fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// What a tool gets that connects to `host`, which must be the host of a ruled origin.
    ///
    /// # Errors
    /// [`AuthorityError`]: no randomness.
    pub(crate) fn server_config(&self, host: &str) -> Result<Arc<ServerConfig>, AuthorityError> {
        if let Some(config) = self.configs.borrow().get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.new_config(host)?);
        self.configs.borrow_mut().insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn new_config(&self, host: &str) -> Result<ServerConfig, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf_params(host)?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // The root is not sent: a tool that does not have it trusts nothing here.
        let chain = vec![leaf.der().clone(), self.intermediate.clone()];
        let certified = CertifiedKey::new(chain, self.provider.key_provider.load_private_key(key)?);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OnlyHost { host: host.to_owned(), key: Arc::new(certified) }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A full handshake costs less than the memory for tickets that a tool may never come back with.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// Answers only a ClientHello for the host of the tunnel: a tool that names another one must not get an answer that it could
/// take for that of the other.
#[derive(Debug)]
struct OnlyHost {
    host: String,
    key: Arc<CertifiedKey>,
}

impl ResolvesServerCert for OnlyHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_host = |name: &str| Origin::new(name, 1).is_ok_and(|origin| origin.host() == self.host);
        // Tools name no address (RFC 6066, 3), and some no host at all. rustls sends `access_denied` for `None`.
        hello.server_name().is_none_or(is_host).then(|| Arc::clone(&self.key))
    }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    // Base64 is ASCII: each chunk is whole characters.
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Without the hybrid key exchange of the connections between the sides: loopback is not recorded for decades, and tools
/// that have it fall back.
fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}

fn params(name: DistinguishedName) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + VALIDITY).into();
    params
}

fn ca_params(common_name: &str, below: u8) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Without a common name, which some tools would compare, and which name constraints do not cover everywhere.
fn leaf_params(host: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "secrets-bridge");
    let mut params = params(name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = vec![match host.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(host.try_into()?),
    }];
    Ok(params)
}

/// Exactly `hosts`; of names, also their subdomains, since constraints cannot say less. Constraints bind only the kinds of names
/// that they mention, and for some programs each family of addresses is a kind of its own: so each is mentioned.
fn constraints(hosts: &BTreeSet<&str>) -> NameConstraints {
    let mut addresses: Vec<IpAddr> = hosts.iter().filter_map(|host| host.parse().ok()).collect();
    let mut names: Vec<&str> = hosts.iter().copied().filter(|host| host.parse::<IpAddr>().is_err()).collect();
    if names.is_empty() {
        names.push(NO_NAME);
    }
    let mut excluded = Vec::new();
    if addresses.is_empty() {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    } else {
        // One that no server has. JDK 17 compares addresses of different families by their first bytes: it fails where these
        // agree, as with excluded ones of prefix 0, or takes one for the other, as with one of zeros.
        if !addresses.iter().any(IpAddr::is_ipv4) {
            addresses.push(Ipv4Addr::BROADCAST.into());
        }
        if !addresses.iter().any(IpAddr::is_ipv6) {
            addresses.push(Ipv6Addr::from_bits(u128::MAX).into());
        }
    }
    let single = |address: &IpAddr| {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, prefix))
    };
    let names = names.into_iter().map(|name| GeneralSubtree::DnsName(name.to_owned()));
    NameConstraints {
        permitted_subtrees: names.chain(addresses.iter().map(single)).collect(),
        excluded_subtrees: excluded,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
