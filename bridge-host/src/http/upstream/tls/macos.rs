//! macOS: the file that the system keeps for OpenSSL and LibreSSL. Its own store takes a framework, and the program is
//! built without Apple's SDK.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const FILE: &str = "/etc/ssl/cert.pem";

/// The CAs of this system, and what could not be read, for a message.
pub(super) fn certificates() -> (Vec<CertificateDer<'static>>, String) {
    match std::fs::read(FILE) {
        Ok(bytes) => (CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect(), String::new()),
        Err(error) => (Vec::new(), format!(" ({FILE}: {error})")),
    }
}
