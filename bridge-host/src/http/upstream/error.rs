//! Why a server cannot be asked, in words for the build, the host's terminal and the audit.

use std::io;

use proto::{Untrusted, escape};
use rustls::CertificateError;
use thiserror::Error;

/// Why there is no connection to a server.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("cannot resolve its name: {0}")]
    Dns(io::Error),
    #[error("cannot resolve its name within {0} s")]
    DnsTimeout(u64),
    #[error("its name has no address")]
    NoAddress,
    /// What failed for each address, in order.
    #[error("{}", .0.join(", "))]
    Addresses(Vec<String>),
    #[error("the connection was not established within {0} s (filtered, or down)")]
    Timeout(u64),
    #[error("cannot reach the host's proxy {0}: {1}")]
    ProxyUnreachable(String, io::Error),
    #[error("the host's proxy {proxy} refuses: {status} {reason}")]
    ProxyRefused { proxy: String, status: u16, reason: Untrusted },
    #[error("the host's proxy {0} has a scheme that is not supported: use http://")]
    ProxyUnsupported(String),
    #[error("{}", certificate_text(.0))]
    Certificate(CertificateError),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("TLS was not established within {0} s")]
    TlsTimeout(u64),
}

impl ConnectError {
    /// The audit's word. It is stable.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Dns(_) | Self::DnsTimeout(_) | Self::NoAddress => "dns",
            Self::Addresses(_) | Self::Timeout(_) => "unreachable",
            Self::ProxyUnreachable(..) | Self::ProxyRefused { .. } | Self::ProxyUnsupported(_) => "proxy",
            Self::Certificate(_) => "certificate",
            Self::Tls(_) | Self::TlsTimeout(_) => "tls",
        }
    }

    /// Of an error of the handshake.
    pub(crate) fn of_handshake(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(cause)) => Self::Certificate(cause.clone()),
            Some(_) | None => Self::Tls(error),
        }
    }
}

/// What is wrong with a server's certificate, and what to do about it.
#[allow(clippy::wildcard_enum_match_arm, reason = "rustls adds variants, and the text names them")]
fn certificate_text(error: &CertificateError) -> String {
    match error {
        // The second is a CA with the name of one that is trusted, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by a CA that the host does not trust: name that CA with ca=FILE in the rule, or \
             add it to the host's CAs"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than the rule's host".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or the host's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or the host's clock is wrong".to_owned()
        }
        other => format!("its certificate is not accepted: {}", escape(&format!("{other:?}"))),
    }
}
