//! One connection: proven, admitted, then a session or a single answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use proto::{Hello, HostMessage, UpgradeRefusal};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, info};

use crate::net::handshake::{ProvenStream, prove_client};
use crate::net::pending::Seat;
use crate::net::upgrade::{NotUpgraded, Socket, upgrade};
use crate::session;
use crate::state::{Admission, BridgeState};

/// How long a client may take to read the one message that ends its connection.
const LAST_WORD: Duration = Duration::from_secs(1);

/// One connection, from its first byte to its last. `seat` is left once the client is proven.
pub(crate) async fn converse_with(
    state: Arc<BridgeState>,
    tls: Arc<ServerConfig>,
    tcp: TcpStream,
    peer: SocketAddr,
    seat: Seat,
) {
    // Answers are small and awaited; a failure costs only time.
    let _ = tcp.set_nodelay(true);
    let proven = match prove_client(&tls, tcp).await {
        Ok(proven) => proven,
        Err(unproven) => {
            debug!("{peer} was refused in the handshake: {}", unproven.cause);
            state.recorder.refused_handshake(unproven.cause);
            unproven.dismiss().await;
            return;
        }
    };
    drop(seat);
    // Held to the end: a client that proves its key and then says nothing counts as well.
    let Some(_permit) = state.proven_permit() else {
        state.recorder.refused_upgrade(peer, UpgradeRefusal::Busy);
        return;
    };
    let Some((socket, hello, admitted)) = upgraded(&state, proven, peer).await else { return };
    match admitted {
        Admission::Session(attachment) => session::serve(&state, peer, socket, hello, attachment).await,
        Admission::Test => {
            let offers = HostMessage::Offers { keys: state.store.keys(), agents: state.agents.ids() };
            last_word(socket, &offers).await;
        }
        Admission::Kill => {
            info!("{peer} ends the bridge");
            last_word(socket, &HostMessage::Ending).await;
            state.request_kill();
        }
    }
}

async fn upgraded(
    state: &BridgeState,
    proven: ProvenStream,
    peer: SocketAddr,
) -> Option<(Socket, Hello, Admission)> {
    let judge = |hello: Option<&Hello>| {
        let admitted = hello.ok_or(UpgradeRefusal::Malformed).and_then(|hello| state.admit(hello, peer));
        admitted.inspect_err(|refusal| state.recorder.refused_upgrade(peer, *refusal))
    };
    let upgraded = upgrade(proven, judge).await;
    if matches!(upgraded, Err(NotUpgraded::NoRequest)) {
        state.recorder.refused_upgrade(peer, UpgradeRefusal::Malformed);
    }
    upgraded.ok()
}

/// Sends the one message that ends a connection which is no session, and lets the client read it.
async fn last_word(mut socket: Socket, message: &HostMessage<'_>) {
    let exchange = async {
        if socket.send(Message::binary(message.encode())).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(LAST_WORD, exchange).await;
}
