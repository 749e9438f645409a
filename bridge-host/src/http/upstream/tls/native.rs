//! Linux and Windows: what OpenSSL finds, or the system's store.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;

/// The CAs of this system, and what could not be read, for a message.
pub(super) fn certificates() -> (Vec<CertificateDer<'static>>, String) {
    let found = rustls_native_certs::load_native_certs();
    let mut problems = String::new();
    for error in found.errors.iter().take(1) {
        // Writing to a String cannot fail.
        let _ = write!(problems, " ({error})");
    }
    (found.certs, problems)
}
