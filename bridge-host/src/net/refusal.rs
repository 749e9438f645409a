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
            Self::TimedOut => "timed-out",
            Self::NoClientKey => "no-client-key",
            Self::OtherClientKey => "other-client-key",
            Self::ClientKeyNotProven => "client-key-not-proven",
            Self::IncompatibleTls => "incompatible-tls",
            Self::PeerRefusedBridge => "peer-refused-bridge",
            Self::InvalidTls => "invalid-tls",
        }
    }
}
