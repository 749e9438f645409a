//! Mints the CA of this run, the bridge's certificate under it, and the client key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::tls::{self, KeyExchange};
use proto::{ClientSeed, Pin, TlsError, client_certificate};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData as _,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ca::key_store::{self, CaKeyStoreError, Kept};
use crate::random::{RandomError, random};

/// Why the bridge has no certificate authority.
#[derive(Debug, Error)]
pub enum CaError {
    #[error("cannot create the throwaway CA")]
    Mint(#[from] MintError),
    #[error("cannot use the CA key store {}: {problem}", .path.display())]
    KeyStore { path: PathBuf, problem: CaKeyStoreError },
}

/// Why no certificate can be made.
#[derive(Debug, Error)]
pub enum MintError {
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("certificate generation failed")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What the bridge needs for handshakes and for the conf. The CA's private key is not in it, unless a store is to keep
/// it.
pub(crate) struct Authority {
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) pin: Pin,
    pub(crate) client_seed: ClientSeed,
    /// The CA key store, if one is in use.
    store: Option<OpenStore>,
}

/// A CA key store in use, with what it held.
struct OpenStore {
    path: PathBuf,
    ca_key: Zeroizing<Vec<u8>>,
    port: Option<u16>,
}

impl Authority {
    /// Mints a throwaway CA, or takes the one that `store` keeps.
    ///
    /// # Errors
    /// [`CaError`] if the store cannot be read, or a certificate cannot be made.
    pub(crate) fn mint(key_exchange: KeyExchange, store: Option<&Path>) -> Result<Self, CaError> {
        let in_store = |path: &Path| {
            key_store::load(path).map_err(|problem| CaError::KeyStore { path: path.to_owned(), problem })
        };
        let kept = store.map(in_store).transpose()?.flatten();
        Ok(Self::from_parts(key_exchange, store, kept)?)
    }

    fn from_parts(
        key_exchange: KeyExchange,
        store: Option<&Path>,
        kept: Option<Kept>,
    ) -> Result<Self, MintError> {
        let (ca_key, client_seed, port) = match kept {
            Some(Kept { port, client_seed, ca_key }) => {
                (KeyPair::try_from(ca_key.as_slice())?, client_seed, Some(port))
            }
            None => (KeyPair::generate_for(&PKCS_ED25519)?, ClientSeed::new(random()?), None),
        };
        let pin = tls::pin_of(&ca_key.subject_public_key_info());
        let store = store.map(|path| OpenStore {
            path: path.to_owned(),
            ca_key: Zeroizing::new(ca_key.serialize_der()),
            port,
        });

        let ca_params = ca_params();
        let ca = ca_params.self_signed(&ca_key)?;
        let leaf_key = KeyPair::generate_for(&PKCS_ED25519)?;
        // Takes the CA's private key: no second leaf can be signed.
        let leaf = leaf_params().signed_by(&leaf_key, &Issuer::new(ca_params, ca_key))?;

        let tls = tls::server_config(
            vec![leaf.der().clone(), ca.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            client_certificate::public_key(&client_seed)?,
            key_exchange,
        )?;
        Ok(Self { tls: Arc::new(tls), pin, client_seed, store })
    }

    /// The port of the last run with this store.
    pub(crate) fn kept_port(&self) -> Option<u16> {
        self.store.as_ref().and_then(|store| store.port)
    }

    /// Whether the conf stays valid after this run.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Writes CA, client key and `port` to the store, if there is one, and drops the CA's private key.
    ///
    /// # Errors
    /// [`CaError::KeyStore`] if the store cannot be written.
    pub(crate) fn keep(&mut self, port: u16) -> Result<(), CaError> {
        let Some(OpenStore { path, ca_key, .. }) = self.store.as_mut() else { return Ok(()) };
        let kept = Kept { port, client_seed: self.client_seed.clone(), ca_key: std::mem::take(ca_key) };
        key_store::save(path, &kept).map_err(|problem| CaError::KeyStore { path: path.clone(), problem })
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("secrets-bridge throwaway CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(tls::LEAF_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_its_own_keys_unless_a_store_keeps_them() {
        let mint = |store| Authority::mint(KeyExchange::Hybrid, store).unwrap();
        assert_ne!(mint(None).pin, mint(None).pin);

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut first = mint(Some(&path));
        first.keep(9100).unwrap();
        let second = mint(Some(&path));
        assert_eq!(first.pin, second.pin);
        assert_eq!(first.client_seed.expose(), second.client_seed.expose());
        assert_eq!(second.kept_port(), Some(9100));
    }
}
