//! The TLS parameters of both sides: 1.3 only, hybrid post-quantum key exchange only, mutual authentication.
//!
//! There are no tickets, no resumption, no early data and no SNI: one connection, one full handshake. Neither side
//! consults a clock. All parameters that both sides must agree on are here.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::client_certificate;
use crate::conf::{ClientSeed, Pin};
use crate::error::TlsError;
use crate::knock::{KnockKey, Nonce};

/// The name in the bridge's leaf. Never sent (no SNI) and never compared: the pin decides.
pub const LEAF_NAME: &str = "secrets-bridge";

/// The time at which the bridge's chain is verified, whatever the clock says: 2026-01-01. Throwaway certificates
/// are always valid then, and a container's clock may be wrong by hours.
const VERIFICATION_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

/// The key exchanges that a bridge accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchange {
    /// X25519MLKEM768 only: recordings stay secret even from a later quantum computer.
    Hybrid,
    /// X25519 too (`--tls-compat`), for clients in languages without ML-KEM.
    HybridOrX25519,
}

/// SHA-256 of a `SubjectPublicKeyInfo`, for the conf.
pub fn pin_of(spki: &[u8]) -> Pin {
    let mut pin = [0; 32];
    pin.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
    Pin(pin)
}

/// The server name that rustls requires of a client.
pub fn server_name() -> ServerName<'static> {
    // A loopback address is a valid name without any parsing that could fail; it is neither sent nor compared.
    ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into())
}

/// Makes the TLS configurations of one client: one for each connection, since each has a knock of its own.
#[derive(Debug)]
pub struct ClientTls {
    config: ClientConfig,
    knock: KnockKey,
}

impl ClientTls {
    /// The configuration of one connection. `nonce` must be random: a bridge accepts each nonce once.
    pub fn for_connection(&self, nonce: Nonce) -> ClientConfig {
        // Everything large in it is shared.
        let mut config = self.config.clone();
        config.alpn_protocols = vec![self.knock.knock(nonce).to_protocol()];
        config
    }
}

/// Configuration of a client: it accepts only a chain whose CA has the pin, proves possession of the client key, and
/// knocks.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(pin: Pin, seed: &ClientSeed) -> Result<ClientTls, TlsError> {
    let provider = provider(KeyExchange::Hybrid);
    let algorithms = provider.signature_verification_algorithms;
    let client = SingleCertAndKey::from(client_certificate::certified_key(seed)?);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // because the pin replaces the web's CAs, which is narrower
        .with_custom_certificate_verifier(Arc::new(PinnedCa { pin, algorithms }))
        .with_client_cert_resolver(Arc::new(client));
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(ClientTls { config, knock: KnockKey::new(seed) })
}

/// Configuration of a bridge: it sends `chain` (leaf, then CA) and accepts only a client that proves possession of
/// the key whose `SubjectPublicKeyInfo` is `client`. It selects no ALPN protocol: knocks are checked before TLS.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    leaf_key: PrivateKeyDer<'static>,
    client: SubjectPublicKeyInfoDer<'static>,
    key_exchange: KeyExchange,
) -> Result<ServerConfig, TlsError> {
    let provider = provider(key_exchange);
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(OnlyClient { public_key: client, algorithms }))
        .with_single_cert(chain, leaf_key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(config)
}

fn provider(key_exchange: KeyExchange) -> Arc<CryptoProvider> {
    let kx_groups = match key_exchange {
        KeyExchange::Hybrid => vec![kx_group::X25519MLKEM768],
        KeyExchange::HybridOrX25519 => vec![kx_group::X25519MLKEM768, kx_group::X25519],
    };
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}

/// The peer's chain holds no CA with the pin of the conf: the peer is another bridge, or an interceptor.
#[derive(Debug, thiserror::Error)]
#[error("its certificates do not include the CA that the conf pins")]
pub struct NotPinned;

/// Accepts a leaf signed by the one CA whose key has the pin.
#[derive(Debug)]
struct PinnedCa {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedCa {
    /// The CA with the pin, among the certificates that the peer sent after its leaf.
    fn pinned<'a>(&self, candidates: &'a [CertificateDer<'a>]) -> Result<&'a CertificateDer<'a>, Error> {
        for candidate in candidates {
            let spki = ParsedCertificate::try_from(candidate)?.subject_public_key_info();
            if verify_slices_are_equal(&pin_of(&spki).0, &self.pin.0).is_ok() {
                return Ok(candidate);
            }
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotPinned))).into())
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.pinned(others)?.clone().into_owned())?;
        // No intermediates: the pinned CA itself must have signed the leaf.
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &roots,
            &[],
            VERIFICATION_TIME,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Accepts exactly one public key, in any certificate.
#[derive(Debug)]
struct OnlyClient {
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for OnlyClient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The same alert for a certificate that cannot be parsed as for another key.
        let known = ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
            verify_slices_are_equal(&parsed.subject_public_key_info(), &self.public_key).is_ok()
        });
        // rustls sends `access_denied` for this error.
        known
            .then(ClientCertVerified::assertion)
            .ok_or_else(|| CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519};
    use rustls::{AlertDescription, ClientConnection, Connection, ServerConnection};

    use super::*;

    struct Chain {
        certificates: Vec<CertificateDer<'static>>,
        leaf_key: PrivateKeyDer<'static>,
        pin: Pin,
    }

    fn chain() -> Chain {
        let ca_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = params.self_signed(&ca_key).unwrap();
        let pin = pin_of(&rcgen::PublicKeyData::subject_public_key_info(&ca_key));
        let issuer = Issuer::new(params, ca_key);
        let leaf_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let leaf = CertificateParams::new(vec![LEAF_NAME.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        Chain {
            certificates: vec![leaf.der().clone(), ca.der().clone()],
            leaf_key: PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
            pin,
        }
    }

    fn seed(byte: u8) -> ClientSeed {
        ClientSeed::new([byte; 32])
    }

    /// Runs a handshake in memory, up to the first error of either side.
    fn handshake(client: ClientConfig, server: ServerConfig) -> Result<(), Error> {
        let mut client = Connection::from(ClientConnection::new(Arc::new(client), server_name())?);
        let mut server = Connection::from(ServerConnection::new(Arc::new(server))?);
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut flight.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut flight = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            client.read_tls(&mut flight.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    fn client(pin: Pin, key: u8) -> ClientConfig {
        client_config(pin, &seed(key)).unwrap().for_connection(Nonce([key; 8]))
    }

    fn server(chain: Chain, admitted: u8) -> ServerConfig {
        let client = client_certificate::public_key(&seed(admitted)).unwrap();
        server_config(chain.certificates, chain.leaf_key, client, KeyExchange::Hybrid).unwrap()
    }

    #[test]
    fn a_client_and_its_pinned_bridge_complete_the_handshake() {
        let chain = chain();
        let client = client(chain.pin, 1);
        handshake(client, server(chain, 1)).unwrap();
    }

    /// The host's requests to registries need 1.2, so rustls has it.
    #[test]
    fn neither_side_takes_a_version_before_1_3() {
        use rustls::version::TLS12;
        let old = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let refused = Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled);
        assert_eq!(handshake(old, server(chain(), 1)).unwrap_err(), refused);
        let chain = chain();
        let client = client(chain.pin, 1);
        let old = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.certificates, chain.leaf_key)
            .unwrap();
        let no_version = Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired);
        let error = handshake(client, old).unwrap_err();
        assert!(error == no_version || error == refused, "{error:?}");
    }

    #[test]
    fn a_foreign_client_key_is_denied() {
        let chain = chain();
        let client = client(chain.pin, 2);
        let error = handshake(client, server(chain, 1)).unwrap_err();
        assert_eq!(error, CertificateError::ApplicationVerificationFailure.into());
        assert_eq!(
            AlertDescription::from(CertificateError::ApplicationVerificationFailure),
            AlertDescription::AccessDenied
        );
    }

    #[test]
    fn another_ca_is_rejected() {
        let client = client(chain().pin, 1);
        let error = handshake(client, server(chain(), 1)).unwrap_err();
        assert!(format!("{error:?}").contains("NotPinned"), "{error:?}");
    }

    #[test]
    fn a_leaf_beside_the_pinned_ca_but_not_signed_by_it_is_rejected() {
        let (true_chain, mut foreign) = (chain(), chain());
        foreign.certificates[1] = true_chain.certificates[1].clone();
        let client = client(true_chain.pin, 1);
        assert!(matches!(handshake(client, server(foreign, 1)), Err(Error::InvalidCertificate(_))));
    }
}
