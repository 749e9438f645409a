//! One connection: handshake, upgrade, and then a session or a single answer.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use proto::client_hello::{ClientHello, ClientHelloReader};
use proto::limits::MAX_CLIENT_HELLO;
use proto::{Hello, HostMessage, UpgradeRefusal};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tracing::{Instrument as _, debug, debug_span, info};

use crate::net::handshake::{ProvenStream, prove_client};
use crate::net::knocks::Knocks;
use crate::net::pending::Slot;
use crate::net::refusal::HandshakeRefusal;
use crate::net::upgrade::{UpgradeError, WebSocket, upgrade};
use crate::session;
use crate::state::{Admission, BridgeState};

/// Time for a client to read the one message that ends its connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one connection, from its first byte to its last. `slot` is released once the client is proven.
pub(crate) async fn serve(
    state: Arc<BridgeState>,
    tls: Arc<ServerConfig>,
    knocks: Arc<Mutex<Knocks>>,
    tcp: TcpStream,
    peer: SocketAddr,
    slot: Slot,
) {
    // Answers are small and awaited; a failure costs only time.
    let _ = tcp.set_nodelay(true);
    let hello = match timeout(KNOCK_TIMEOUT, read_knock(&tcp, &knocks)).await {
        Ok(Ok(hello)) => hello,
        refused => {
            let cause = refused.map_or(HandshakeRefusal::Silent, |refused| {
                refused.err().unwrap_or(HandshakeRefusal::GaveUp)
            });
            state.recorder.refused_handshake(cause.word());
            if !matches!(cause, HandshakeRefusal::GaveUp | HandshakeRefusal::Silent) {
                let _ = tcp.try_write(&ACCESS_DENIED);
            }
            return;
        }
    };
    let proven = match prove_client(tls, hello, tcp).await {
        Ok(proven) => proven,
        Err(failed) => {
            debug!("handshake failed: {}", failed.cause.word());
            state.recorder.refused_handshake(failed.cause.word());
            failed.close().await;
            return;
        }
    };
    drop(slot);
    // Held to the end, so that a client that proves its key and then is silent counts as well.
    let Some(_permit) = state.proven_permit() else {
        state.recorder.refused_upgrade(peer, UpgradeRefusal::Busy);
        return;
    };
    let Some((socket, hello, admission)) = admit(&state, proven, peer).await else { return };
    match admission {
        Admission::Session(attachment) => {
            // Enough of the id to find the session's audit records.
            let span = debug_span!("session", session = %format_args!("{:.8}", attachment.id().to_string()));
            session::serve(&state, peer, socket, hello, attachment).instrument(span).await;
        }
        Admission::Test => {
            let offers = HostMessage::Offers { keys: state.store.keys(), agents: state.agents.ids() };
            send_and_close(socket, &offers).await;
        }
        Admission::Kill => {
            info!("stops the bridge (`kill`)");
            send_and_close(socket, &HostMessage::Ending).await;
            state.request_kill();
        }
    }
}

/// A TLS record with the fatal alert `access_denied` (RFC 8446, 6).
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const KNOCK_TIMEOUT: Duration = Duration::from_secs(3);

async fn read_knock(tcp: &TcpStream, knocks: &Mutex<Knocks>) -> Result<ClientHello, HandshakeRefusal> {
    let mut reader = ClientHelloReader::default();
    loop {
        tcp.readable().await.map_err(|_| HandshakeRefusal::GaveUp)?;
        let mut buffer = [0; MAX_CLIENT_HELLO];
        match tcp.try_read(&mut buffer) {
            Ok(0) => return Err(HandshakeRefusal::GaveUp),
            Ok(length) => {
                if let Some(hello) = reader.push(buffer.get(..length).unwrap_or_default())? {
                    knocks.lock().unwrap_or_else(PoisonError::into_inner).accept(&hello)?;
                    return Ok(hello);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(HandshakeRefusal::GaveUp),
        }
    }
}

/// Answers the upgrade request; `None` if the connection does not become a websocket.
async fn admit(
    state: &BridgeState,
    proven: ProvenStream,
    peer: SocketAddr,
) -> Option<(WebSocket, Hello, Admission)> {
    let decide = |hello: Option<&Hello>| {
        let admission = hello.ok_or(UpgradeRefusal::Malformed).and_then(|hello| state.admit(hello, peer));
        admission.inspect_err(|refusal| state.recorder.refused_upgrade(peer, *refusal))
    };
    let upgraded = upgrade(proven, decide).await;
    if matches!(upgraded, Err(UpgradeError::NotHttp)) {
        state.recorder.refused_upgrade(peer, UpgradeRefusal::Malformed);
    }
    upgraded.ok()
}

/// Sends the only message of a connection that is no session, and waits until the client has read it.
async fn send_and_close(mut socket: WebSocket, message: &HostMessage<'_>) {
    let exchange = async {
        if socket.send(Message::binary(message.encode())).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, exchange).await;
}
