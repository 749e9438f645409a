//! One connection: handshake, upgrade, and then a session or a single answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::{Hello, HostMessage, Purpose, UpgradeRefusal};
use rustls::ServerConfig;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracing::{Instrument as _, debug, debug_span, info};

use crate::http;
use crate::memory::SessionMemory;
use crate::net::frames::{FrameReader, FrameWriter, Incoming};
use crate::net::handshake::{ProvenStream, prove_client};
use crate::net::handshakes::{Knocked, Slot};
use crate::net::upgrade::{UpgradeError, Upgraded, upgrade};
use crate::session::registry::{Attachment, Ticket};
use crate::session::waiting::{self, NoPlace, wait_for_place};
use crate::session::{self, Wanted, WantedKeys};
use crate::state::{Admission, BridgeState};

/// Time for a client to read the one message that ends its connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one connection, from its handshake to its last byte. `slot` is released once the client is proven.
pub(crate) async fn serve(state: Arc<BridgeState>, tls: Arc<ServerConfig>, knocked: Knocked, slot: Slot) {
    let peer = knocked.peer;
    // Answers are small and awaited; a failure costs only time.
    let _ = knocked.tcp.set_nodelay(true);
    // Boxed: the state of a handshake is large, and must not lie beside that of the session for its whole life.
    let proven = match Box::pin(prove_client(tls, knocked)).await {
        Ok(proven) => proven,
        Err(failed) => {
            debug!("handshake failed: {}", failed.cause.word());
            state.recorder.refused_handshakes(failed.cause.word(), 1);
            Box::pin(failed.close()).await;
            return;
        }
    };
    slot.proven(Instant::now());
    let memory = state.memory.session();
    let upgrade = state.upgrades.take();
    let admitted = Box::pin(upgrade.run(admit(&state, proven, peer, &memory))).await;
    drop(upgrade);
    let Some((stream, mut wanted, admission)) = admitted.flatten() else { return };
    match admission {
        Admission::Session(attachment) => serve_session(&state, peer, stream, wanted, attachment).await,
        Admission::InLine(ticket) => {
            if let Some((stream, sent, attachment)) =
                Box::pin(place(&state, peer, stream, ticket, &wanted.memory)).await
            {
                wanted.sent = sent;
                serve_session(&state, peer, stream, wanted, attachment).await;
            }
        }
        Admission::Stream(slot) => {
            drop((wanted, memory));
            let span = debug_span!("stream", session = %format_args!("{:.8}", slot.session().to_string()));
            Box::pin(http::stream::serve(&state, peer, stream, slot)).instrument(span).await;
        }
        Admission::Test => {
            let exchange = Box::pin(send_and_close(stream, memory, &state.offers));
            state.queries.take().run(exchange).await;
        }
        Admission::Kill => {
            info!("stops the bridge (`kill`)");
            let ending = HostMessage::Ending.encode();
            let exchange = Box::pin(send_and_close(stream, memory, &ending));
            state.queries.take().run(exchange).await;
            state.request_kill();
        }
    }
}

async fn serve_session(
    state: &BridgeState,
    peer: SocketAddr,
    stream: Upgraded,
    wanted: Wanted,
    attachment: Attachment,
) {
    // Enough of the id to find the session's audit records.
    let span = debug_span!("session", session = %format_args!("{:.8}", attachment.id().to_string()));
    // Boxed, as every phase of a connection: a future is as large as its largest part, several times over.
    Box::pin(session::serve(state, peer, stream, wanted, attachment)).instrument(span).await;
}

/// Has the client wait in line. Returns the connection, what the client has sent meanwhile, and its session; `None` if it
/// gets no place, and the connection is closed.
async fn place(
    state: &BridgeState,
    peer: SocketAddr,
    mut stream: Upgraded,
    ticket: Ticket,
    memory: &SessionMemory,
) -> Option<(Upgraded, Vec<u8>, Attachment)> {
    let refusal = match wait_for_place(&mut stream, ticket).await {
        Ok((attachment, sent)) => match state.begin(attachment, peer) {
            Ok(attachment) => {
                // If all shares were taken when it joined the line, the one of a session that has ended is free now.
                memory.take_share();
                return Some((stream, sent, attachment));
            }
            Err(refusal) => refusal,
        },
        Err(NoPlace::Left) => {
            debug!("left the line of clients that wait for a place");
            return None;
        }
        Err(NoPlace::Busy) => UpgradeRefusal::Busy,
    };
    state.recorder.refused_upgrade(peer, refusal);
    waiting::close(stream, close_code(refusal)).await;
    None
}

/// The code of the close frame that refuses a client which was in line. (Before that, a refusal is an HTTP status.)
fn close_code(refusal: UpgradeRefusal) -> CloseCode {
    match refusal {
        UpgradeRefusal::Busy => CloseCode::Again,
        UpgradeRefusal::AuditFailed => CloseCode::Error,
        UpgradeRefusal::Malformed
        | UpgradeRefusal::KillForbidden
        | UpgradeRefusal::SessionEnded
        | UpgradeRefusal::NoStreams
        | UpgradeRefusal::SessionsUsedUp
        | UpgradeRefusal::TooManyStreams => CloseCode::Policy,
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
            // Before the session counts: a client may try again. A stream has a share of another kind.
            if hello.purpose != Purpose::Stream {
                memory.take_share();
            }
            let reserved =
                memory.try_reserve(WantedKeys::size_of(&hello.keys)).ok_or(UpgradeRefusal::Busy)?;
            let admission = state.admit(&hello, peer)?;
            let keys = WantedKeys::pack(0, &hello.keys, reserved);
            let Hello { agent, http, .. } = hello;
            Ok((Wanted { keys, agent, http, sent: Vec::new(), memory: Arc::clone(memory) }, admission))
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
