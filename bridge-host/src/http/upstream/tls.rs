//! TLS with the servers of rules: 1.3 and 1.2, verified by the CAs of this system or those of a file.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::named_file::NamedFile;

#[cfg_attr(target_os = "macos", path = "tls/macos.rs")]
#[cfg_attr(not(target_os = "macos"), path = "tls/native.rs")]
mod system;

/// Largest file of `ca=`, in bytes. All public CAs together have some 250 KiB.
const MAX_CA_FILE: u64 = 4 << 20;

/// Why there are no CAs to verify a server with.
#[derive(Debug, Error)]
pub enum RootsError {
    #[error("{0}")]
    Read(io::Error),
    #[error("the file does not exist")]
    Missing,
    #[error("the file is larger than {} MiB", MAX_CA_FILE >> 20)]
    TooLarge,
    #[error("the file is not PEM: {0}")]
    Pem(pem::Error),
    #[error("the file has no certificate: expected PEM with the line -----BEGIN CERTIFICATE-----")]
    Empty,
    /// The number of the certificate in the file, from 1.
    #[error("invalid certificate (number {0} in the file)")]
    Certificate(usize),
    #[error(
        "no CA certificates on this system{0}: install them (Debian: ca-certificates), or name a file with ca=FILE"
    )]
    NoneOnSystem(String),
    #[error("cannot set up TLS: {0}")]
    Tls(rustls::Error),
}

/// Makes the configurations of the rules. Those that use the system's CAs share one.
#[derive(Default)]
pub(crate) struct Configs {
    system: Option<Arc<ClientConfig>>,
}

impl Configs {
    /// A configuration that trusts the CAs in `ca` alone; without it, those of this system.
    ///
    /// # Errors
    /// [`RootsError`].
    pub(crate) fn get(&mut self, ca: Option<&NamedFile>) -> Result<Arc<ClientConfig>, RootsError> {
        match (ca, &self.system) {
            (Some(file), _) => config(read_roots(file)?),
            (None, Some(config)) => Ok(Arc::clone(config)),
            (None, None) => Ok(Arc::clone(self.system.insert(config(system_roots()?)?))),
        }
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, RootsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(RootsError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A ticket would link the connections of builds, and outlive the pool of its session.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, RootsError> {
    let (certificates, problems) = system::certificates();
    let mut roots = RootCertStore::empty();
    // A system may have some that rustls cannot use: servers that need these fail by name.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(RootsError::NoneOnSystem(problems)) } else { Ok(roots) }
}

fn read_roots(file: &NamedFile) -> Result<RootCertStore, RootsError> {
    let bytes = file.read_if_exists(MAX_CA_FILE).map_err(RootsError::Read)?.ok_or(RootsError::Missing)?;
    if bytes.len() as u64 > MAX_CA_FILE {
        return Err(RootsError::TooLarge);
    }
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let certificate = certificate.map_err(RootsError::Pem)?;
        roots.add(certificate).map_err(|_| RootsError::Certificate(index + 1))?;
    }
    if roots.is_empty() { Err(RootsError::Empty) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::testing::TestCa;

    fn read(text: &str) -> Result<RootCertStore, RootsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, text).unwrap();
        read_roots(&NamedFile::typed(path))
    }

    #[test]
    fn a_file_without_usable_cas_is_an_error() {
        let ca = TestCa::new().pem;
        assert_eq!(read(&ca).unwrap().len(), 1);
        assert_eq!(read(&format!("text before\n{ca}\n{ca}")).unwrap().len(), 2);
        assert!(matches!(read(""), Err(RootsError::Empty)));
        assert!(matches!(read("no certificate"), Err(RootsError::Empty)));
        assert!(matches!(read(&ca.replace("END", "ENDE")), Err(RootsError::Pem(_))));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(&format!("{ca}{broken}")), Err(RootsError::Certificate(2))));
        let missing = NamedFile::typed("/nonexistent/ca.pem");
        assert!(matches!(read_roots(&missing), Err(RootsError::Missing)));
    }

    #[test]
    fn rules_without_a_file_share_one_configuration() {
        let mut configs = Configs::default();
        // A machine without any CA has none to share.
        if let (Ok(first), Ok(second)) = (configs.get(None), configs.get(None)) {
            assert!(Arc::ptr_eq(&first, &second));
        }
    }
}
