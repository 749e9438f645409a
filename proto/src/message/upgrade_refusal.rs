//! Refusals of an upgrade request, which are HTTP statuses: there are no messages yet.

/// Why the bridge answers an upgrade request with an HTTP status other than 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeRefusal {
    /// 400: missing or unknown subprotocol or hello.
    Malformed,
    /// 403: `kill`, which this bridge forbids.
    KillForbidden,
    /// 404: a redial or a stream names a session that has ended.
    SessionEnded,
    /// 409: a stream whose session did not ask for HTTP, or of a bridge without rules.
    NoStreams,
    /// 410: `--once` or `--max-sessions` is used up.
    SessionsUsedUp,
    /// 429: a stream beyond the limit of its session, or of the bridge.
    TooManyStreams,
    /// 503: too many sessions at once.
    Busy,
    /// 507: the audit record could not be written.
    AuditFailed,
}

impl UpgradeRefusal {
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::KillForbidden,
        Self::SessionEnded,
        Self::NoStreams,
        Self::SessionsUsedUp,
        Self::TooManyStreams,
        Self::Busy,
        Self::AuditFailed,
    ];

    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::KillForbidden => 403,
            Self::SessionEnded => 404,
            Self::NoStreams => 409,
            Self::SessionsUsedUp => 410,
            Self::TooManyStreams => 429,
            Self::Busy => 503,
            Self::AuditFailed => 507,
        }
    }

    /// `None` for a status that no bridge sends.
    pub fn from_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.status() == status)
    }

    /// A sentence for error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the bridge does not understand this client: use the same release on both sides"
            }
            Self::KillForbidden => "this bridge does not let clients end it (`run`, or --no-kill)",
            Self::SessionEnded => "the session to continue has ended",
            Self::NoStreams => "the session did not ask for HTTP, or the bridge has no --http-credential",
            Self::TooManyStreams => "the bridge has too many HTTP streams at once",
            Self::SessionsUsedUp => "the bridge has admitted all its sessions (--once or --max-sessions)",
            Self::Busy => "the bridge has too many sessions at once",
            Self::AuditFailed => "the host cannot write its audit record, so it gives nothing",
        }
    }
}
