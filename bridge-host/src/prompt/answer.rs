//! What a person answers to a question for a confirmation.

/// An answer that allows the use, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// One signature.
    Once,
    /// Until the session ends, or what else the question says.
    UntilEnd,
    No,
}
