//! Why a connection was refused before its client was proven.

/// The causes; the audit counts each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HandshakeRefusal {
    /// The peer's address is outside `--allow-from`.
    AddressNotAllowed,
    /// The first bytes are not those of a ClientHello.
    NotTls,
    /// A ClientHello without a knock, or one that no client sends.
    NoKnock,
    /// A knock of another conf: another run, or another bridge.
    OtherConf,
    /// A knock with the id of the conf and without the proof: forged, or of another version.
    UnprovenKnock,
    /// A valid knock that was used already.
    ReplayedKnock,
    /// No whole ClientHello within the time for it.
    Silent,
    /// The peer closed the connection before its handshake was done.
    GaveUp,
    /// The connection was the oldest, and made room for another.
    YieldedToNewcomer,
    /// Too many clients wait for their handshake, or this one waited too long.
    Busy,
    /// The handshake took too long.
    TimedOut,
    /// No client certificate.
    NoClientKey,
    /// A client certificate with another key.
    OtherClientKey,
    /// The right certificate without its private key.
    ClientKeyNotProven,
    /// No parameters in common.
    IncompatibleTls,
    /// The peer sent an alert.
    PeerRefusedBridge,
    /// The peer broke the rules of TLS after a valid knock.
    InvalidTls,
}

impl HandshakeRefusal {
    /// The audit's word. The words are stable.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address-not-allowed",
            Self::NotTls => "not-tls",
            Self::NoKnock => "no-knock",
            Self::OtherConf => "other-conf",
            Self::UnprovenKnock => "unproven-knock",
            Self::ReplayedKnock => "replayed-knock",
            Self::Silent => "silent",
            Self::GaveUp => "gave-up",
            Self::YieldedToNewcomer => "yielded-to-newcomer",
            Self::Busy => "busy",
            Self::TimedOut => "timed-out",
            Self::NoClientKey => "no-client-key",
            Self::OtherClientKey => "other-client-key",
            Self::ClientKeyNotProven => "client-key-not-proven",
            Self::IncompatibleTls => "incompatible-tls",
            Self::PeerRefusedBridge => "peer-refused-bridge",
            Self::InvalidTls => "invalid-tls",
        }
    }

    /// Whether the peer gets an alert. One that is gone, or said nothing, does not.
    pub(crate) fn is_answered(self) -> bool {
        match self {
            Self::NotTls
            | Self::NoKnock
            | Self::OtherConf
            | Self::UnprovenKnock
            | Self::ReplayedKnock
            | Self::NoClientKey
            | Self::OtherClientKey
            | Self::ClientKeyNotProven
            | Self::IncompatibleTls
            | Self::InvalidTls => true,
            Self::AddressNotAllowed
            | Self::Silent
            | Self::GaveUp
            | Self::YieldedToNewcomer
            | Self::Busy
            | Self::TimedOut
            | Self::PeerRefusedBridge => false,
        }
    }
}

/// How often each cause occurred.
#[derive(Debug, Default)]
pub(crate) struct Refusals([u64; Self::CAUSES.len()]);

impl Refusals {
    /// In their order.
    const CAUSES: [HandshakeRefusal; 17] = [
        HandshakeRefusal::AddressNotAllowed,
        HandshakeRefusal::NotTls,
        HandshakeRefusal::NoKnock,
        HandshakeRefusal::OtherConf,
        HandshakeRefusal::UnprovenKnock,
        HandshakeRefusal::ReplayedKnock,
        HandshakeRefusal::Silent,
        HandshakeRefusal::GaveUp,
        HandshakeRefusal::YieldedToNewcomer,
        HandshakeRefusal::Busy,
        HandshakeRefusal::TimedOut,
        HandshakeRefusal::NoClientKey,
        HandshakeRefusal::OtherClientKey,
        HandshakeRefusal::ClientKeyNotProven,
        HandshakeRefusal::IncompatibleTls,
        HandshakeRefusal::PeerRefusedBridge,
        HandshakeRefusal::InvalidTls,
    ];

    pub(crate) fn add(&mut self, cause: HandshakeRefusal, count: u64) {
        if let Some(sum) = self.0.get_mut(cause as usize) {
            *sum += count;
        }
    }

    /// The causes that occurred, each with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (HandshakeRefusal, u64)> {
        Self::CAUSES.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_as_itself() {
        for cause in Refusals::CAUSES {
            let mut refusals = Refusals::default();
            refusals.add(cause, 3);
            assert_eq!(refusals.iter().collect::<Vec<_>>(), [(cause, 3)]);
        }
    }
}
