//! Refusals before there are messages: HTTP statuses.

/// Why the bridge answers an upgrade request with an HTTP status and not with 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeRefusal {
    /// 400: no subprotocol or hello that this version knows.
    Malformed,
    /// 403: `kill`, and the bridge forbids it.
    KillForbidden,
    /// 404: a redial names a session that has ended.
    SessionEnded,
    /// 410: `--once` or `--max-sessions` is used up.
    SessionsUsedUp,
    /// 503: too many sessions at once.
    Busy,
    /// 507: the audit record could not be written.
    AuditFailed,
}

impl UpgradeRefusal {
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::KillForbidden,
        Self::SessionEnded,
        Self::SessionsUsedUp,
        Self::Busy,
        Self::AuditFailed,
    ];

    /// The HTTP status that says so.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::KillForbidden => 403,
            Self::SessionEnded => 404,
            Self::SessionsUsedUp => 410,
            Self::Busy => 503,
            Self::AuditFailed => 507,
        }
    }

    /// What an HTTP status means, if it is one of ours.
    pub fn from_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.status() == status)
    }

    /// What it means, in a few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the bridge does not understand this client: use the same release on both sides"
            }
            Self::KillForbidden => "this bridge does not let clients end it (`run`, or --no-kill)",
            Self::SessionEnded => "the session to continue has ended",
            Self::SessionsUsedUp => "the bridge has admitted all its sessions (--once or --max-sessions)",
            Self::Busy => "the bridge has too many sessions at once",
            Self::AuditFailed => "the host cannot write its audit record, so it gives nothing",
        }
    }
}
