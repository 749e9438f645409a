//! Decides one request for a secret, and writes the audit record before a byte of the secret leaves.

use std::sync::Arc;

use proto::{Key, RefusalReason, Secret, Untrusted};
use tracing::{debug, warn};

use super::Client;
use crate::audit::{Claimed, Record, Sending, Shown, refusal_word};
use crate::state::BridgeState;

/// The answer to one request.
pub(super) enum Decision<'a> {
    Granted(Granted<'a>),
    Refused { request: u32, key: Key, reason: RefusalReason, detail: Untrusted },
}

/// A secret that may be sent, and how much of it was.
pub(super) struct Granted<'a> {
    pub(super) request: u32,
    pub(super) secret: Arc<Secret>,
    pub(super) sending: Sending<'a>,
}

/// Decides the request number `request`, which asks for `key`. Waits for the key's source if it is a command.
pub(super) async fn decide(state: &BridgeState, client: Client, request: u32, key: Key) -> Decision<'_> {
    let Client { session, number, peer, .. } = client;
    let (reason, detail) = match state.store.read(number, &key).await {
        Ok(read) => {
            let length = read.secret().len();
            match Sending::permit(state.recorder.audit(), session, peer, key.clone(), length) {
                Ok(sending) => {
                    let secret = read.give();
                    debug!("sends {key} ({} bytes)", secret.len());
                    state.recorder.count_read(key);
                    return Decision::Granted(Granted { request, secret, sending });
                }
                Err(error) => {
                    warn!("refused {key}: cannot write the audit record: {error}");
                    (RefusalReason::AuditFailed, Untrusted::default())
                }
            }
        }
        Err(refused) => {
            debug!("refused {key}: {}", refused.reason.as_str());
            (refused.reason, refused.detail)
        }
    };
    state.recorder.audit().note(&Record::SecretRefused {
        session: Shown(session),
        peer,
        verdict: "refused",
        reason: refusal_word(reason),
        claimed: Claimed { key: key.as_str() },
    });
    state.recorder.count_refusal();
    Decision::Refused { request, key, reason, detail }
}
