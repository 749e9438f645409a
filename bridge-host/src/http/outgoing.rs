//! What goes to a server.

use http_message::Version;
use http_policy::{Echo, RequestKind, Rule};
use proto::Secret;

use super::answer::Connection;
use super::feed::RequestBody;
use super::upstream::pool::Repeatable;

/// A request that is permitted and recorded, ready to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) index: usize,
    pub(super) rule: &'a Rule,
    pub(super) method: String,
    pub(super) kind: RequestKind,
    /// With the credential; for a batch call of git LFS, with the body too.
    pub(super) head: Secret,
    pub(super) body: RequestBody,
    pub(super) repeatable: Repeatable,
    pub(super) echo: Echo,
    /// What the tool speaks.
    pub(super) version: Version,
    pub(super) expects_continue: bool,
    /// Whether the tool's connection may stay open.
    pub(super) keeps: Connection,
}
