//! One connection: handshake, upgrade, and then a session or a single answer.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::client_hello::{ClientHello, ClientHelloReader};
use proto::limits::MAX_CLIENT_HELLO;
use proto::{Hello, HostMessage, UpgradeRefusal};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{Instrument as _, debug, debug_span, info};

use crate::memory::SessionMemory;
use crate::net::frames::{FrameReader, FrameWriter, Incoming};
use crate::net::handshake::{ProvenStream, prove_client};
use crate::net::knocks::Knocks;
use crate::net::pending::Slot;
use crate::net::refusal::HandshakeRefusal;
use crate::net::upgrade::{UpgradeError, Upgraded, upgrade};
use crate::session::{self, Wanted, WantedKeys};
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
    let hello = match timeout(KNOCK_TIMEOUT, Box::pin(read_knock(&tcp, &knocks))).await {
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
    let proven = match Box::pin(prove_client(tls, hello, tcp)).await {
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
    let memory = state.memory.session();
    let Some((stream, wanted, admission)) = Box::pin(admit(&state, proven, peer, &memory)).await else {
        return;
    };
    match admission {
        Admission::Session(attachment) => {
            // Enough of the id to find the session's audit records.
            let span = debug_span!("session", session = %format_args!("{:.8}", attachment.id().to_string()));
            session::serve(&state, peer, stream, wanted, attachment).instrument(span).await;
        }
        Admission::Test => send_and_close(stream, memory, &state.offers).await,
        Admission::Kill => {
            info!("stops the bridge (`kill`)");
            send_and_close(stream, memory, &HostMessage::Ending.encode()).await;
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
    memory: &Arc<SessionMemory>,
) -> Option<(Upgraded, Wanted, Admission)> {
    let decide = |hello: Option<Hello>| {
        let decided = hello.ok_or(UpgradeRefusal::Malformed).and_then(|hello| {
            // Before the session counts: a client may try again.
            let reserved =
                memory.try_reserve(WantedKeys::size_of(&hello.keys)).ok_or(UpgradeRefusal::Busy)?;
            let admission = state.admit(&hello, peer)?;
            let keys = WantedKeys::pack(0, &hello.keys, reserved);
            Ok((Wanted { keys, agent: hello.agent, memory: Arc::clone(memory) }, admission))
        });
        decided.inspect_err(|refusal| state.recorder.refused_upgrade(peer, *refusal))
    };
    match upgrade(proven, decide).await {
        Ok((stream, (wanted, admission))) => Some((stream, wanted, admission)),
        Err(UpgradeError::NotHttp) => {
            state.recorder.refused_upgrade(peer, UpgradeRefusal::Malformed);
            None
        }
        Err(UpgradeError::Refused | UpgradeError::Disconnected) => None,
    }
}

/// Sends the only message of a connection that is no session, and waits until the client has read it.
async fn send_and_close(stream: Upgraded, memory: Arc<SessionMemory>, message: &[u8]) {
    let (read, write) = tokio::io::split(stream);
    let exchange = async {
        let mut writer = FrameWriter::new(write, Arc::clone(&memory));
        if writer.message(message, &[]).await.is_ok() && writer.flush().await.is_ok() {
            let mut reader = FrameReader::new(read, memory);
            while !matches!(reader.next().await, Ok(Incoming::Close) | Err(_)) {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, exchange).await;
}
