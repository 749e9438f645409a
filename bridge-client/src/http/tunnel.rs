//! A tunnel to an origin that has a rule: TLS ends here.

use std::io;
use std::time::Duration;

use http_message::Version;
use proto::http::Origin;
use rustls::{AlertDescription, Error as TlsError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::authority::Authority;
use super::notices::Notices;
use super::pool::Opener;
use super::prefixed::Prefixed;
use super::relay::{Ending, Relay, Verbatim};
use super::reply;
use super::slots::Slot;

/// Timeout of the TLS handshake. A tool on a loaded machine may be slow.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes that wait to be sent in each direction of TLS: two records.
const TLS_BUFFER: usize = 32 << 10;

/// Serves a tool that asked for a tunnel to `origin` and got it. `tcp` continues after the bytes `first`.
pub(crate) async fn serve<O: Opener>(
    relay: &Relay<O>,
    authority: &Authority,
    origin: &Origin,
    (first, tcp): (Vec<u8>, TcpStream),
    slot: &Slot,
) -> io::Result<()> {
    let config = authority.server_config(origin.host()).map_err(io::Error::other)?;
    let accepting = TlsAcceptor::from(config).accept(Prefixed::new(first, tcp));
    let mut tls = match timeout(HANDSHAKE_TIMEOUT, accepting).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tell_of_distrust(&relay.notices, origin, &error);
            return Err(error);
        }
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    tls.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    let ending = relay.serve(&mut tls, origin, &mut Verbatim, slot).await;
    match ending {
        Ending::Complete => reply::close(&mut tls).await,
        Ending::Reply(reply) => reply.finish(&mut tls, Version::Http11).await,
        // Without close_notify: what the tool has got so far is not complete.
        Ending::Reset => reset(tls)?,
        Ending::Gone => {}
    }
    Ok(())
}

fn reset(tls: TlsStream<Prefixed>) -> io::Result<()> {
    tls.get_ref().0.tcp().set_zero_linger()
}

/// A tool that has its own list of CAs says only that it does not trust a certificate.
fn tell_of_distrust(notices: &Notices, origin: &Origin, error: &io::Error) {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(TlsError::AlertReceived(
        alert @ (AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown),
    )) = error
    {
        notices.failed(format_args!(
            "a tool of COMMAND does not trust the proxy's certificate for {origin} ({alert:?}): docs/HTTP.md says how each \
             tool learns of it"
        ));
    } else {
        debug!("a TLS handshake for {origin} failed");
    }
}
