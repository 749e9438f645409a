//! The verdict on one request.

use http_message::RequestHead;
use proto::escape;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Forward(Permitted),
    Refuse(Refusal),
}

/// A request that a rule permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The rule, for [`Rules::get`](crate::Rules::get).
    pub rule: usize,
    /// What goes to the server: path and query as they came, the host from the rule, HTTP/1.1, framing written anew, no
    /// credential yet ([`Rule::authorize`](crate::Rule::authorize)).
    pub head: RequestHead,
    pub body: RequestKind,
    /// Whether the tool waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// How the body of a request is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// It goes on as it comes.
    Plain,
    /// The batch call of git LFS: request and answer go through [`lfs`](crate::lfs), and a length known only then
    /// replaces what the head has.
    LfsBatch,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule, if one is meant.
    pub rule: Option<usize>,
    /// The status of the answer.
    pub status: u16,
    /// A word for the audit: it does not change.
    pub reason: &'static str,
    /// For people, with the remedy. Safe to show, and at most [`MAX_REFUSAL`] characters.
    pub text: String,
}

/// Longest text of a refusal, in characters.
pub const MAX_REFUSAL: usize = 300;

/// `text` from the build or from a rule, safe to show, in at most `most` characters.
pub(crate) fn shown(text: &str, most: usize) -> String {
    // Longer than what is shown, and not endless.
    let beginning: String = text.chars().take(most + 1).collect();
    cut(&escape(&beginning), most)
}

pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}
