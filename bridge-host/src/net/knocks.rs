//! The decision on a knock: it is of this bridge's conf, and its nonce is new.

use std::collections::{HashSet, VecDeque};

use proto::client_hello::{ClientHello, InvalidHello};
use proto::knock::{Knock, KnockError, KnockKey, Nonce};

use crate::net::refusal::HandshakeRefusal;

/// Nonces that are remembered. They take some 1.7 MB, which only holders of the conf can make them take. A
/// peer that observed more knocks than that can replay the oldest, and still has no client key.
const REMEMBERED: usize = 1 << 16;

/// Judges the knocks of one bridge.
pub(crate) struct Knocks {
    key: KnockKey,
    used: UsedNonces,
}

impl Knocks {
    pub(crate) fn new(key: KnockKey) -> Self {
        Self { key, used: UsedNonces::default() }
    }

    /// Accepts the knock in `hello`, for this one time.
    ///
    /// # Errors
    /// [`HandshakeRefusal`].
    pub(crate) fn accept(&mut self, hello: &ClientHello) -> Result<(), HandshakeRefusal> {
        let knock = Knock::from_protocol(&hello.protocol).ok_or(HandshakeRefusal::NoKnock)?;
        self.key.verify(&knock).map_err(|error| match error {
            KnockError::OtherConf => HandshakeRefusal::OtherConf,
            KnockError::Unproven => HandshakeRefusal::UnprovenKnock,
        })?;
        if self.used.insert(knock.nonce) { Ok(()) } else { Err(HandshakeRefusal::ReplayedKnock) }
    }
}

impl From<InvalidHello> for HandshakeRefusal {
    fn from(invalid: InvalidHello) -> Self {
        match invalid {
            InvalidHello::NotTls => Self::NotTls,
            InvalidHello::TooLong | InvalidHello::Malformed | InvalidHello::NoProtocol => Self::NoKnock,
        }
    }
}

/// The nonces of the last [`REMEMBERED`] valid knocks.
#[derive(Default)]
struct UsedNonces {
    set: HashSet<Nonce>,
    /// Oldest first.
    order: VecDeque<Nonce>,
}

impl UsedNonces {
    /// Remembers `nonce`; `false` if it is remembered already.
    fn insert(&mut self, nonce: Nonce) -> bool {
        if !self.set.insert(nonce) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.order.push_back(nonce);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: usize) -> Nonce {
        Nonce((number as u64).to_be_bytes())
    }

    #[test]
    fn a_nonce_is_new_once_among_the_last_65536() {
        let mut used = UsedNonces::default();
        assert!((0..REMEMBERED).all(|number| used.insert(nonce(number))));
        assert!((0..REMEMBERED).all(|number| !used.insert(nonce(number))));
        assert!(used.insert(nonce(REMEMBERED)), "a new one");
        assert!(!used.insert(nonce(1)), "the second");
        assert!(used.insert(nonce(0)), "the oldest is forgotten");
        assert_eq!((used.set.len(), used.order.len()), (REMEMBERED, REMEMBERED));
    }
}
