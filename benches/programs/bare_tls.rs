//! The TLS parameters of the product for a server that is no bridge, with a CA of its own.

use std::error::Error;

use proto::tls::{self, KeyExchange};
use proto::{ClientSeed, Pin, client_certificate};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// The configuration of a server that accepts only `client`, and the pin of its CA.
pub(crate) fn config(client: &ClientSeed) -> Result<(ServerConfig, Pin), Box<dyn Error + Send + Sync>> {
    let ca_key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = params.self_signed(&ca_key)?;
    let pin = tls::pin_of(&ca_key.subject_public_key_info());
    let leaf_key = KeyPair::generate_for(&PKCS_ED25519)?;
    let leaf = CertificateParams::default().signed_by(&leaf_key, &Issuer::new(params, ca_key))?;
    let config = tls::server_config(
        vec![leaf.der().clone(), ca.der().clone()],
        PrivateKeyDer::try_from(leaf_key.serialize_der())?,
        client_certificate::public_key(client)?,
        KeyExchange::Hybrid,
    )?;
    Ok((config, pin))
}
