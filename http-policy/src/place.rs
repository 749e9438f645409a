//! Where a rule is for: `[USER@]HOST[:PORT][/PATH]`.

use std::fmt;
use std::str::FromStr;

use proto::OriginError;
use proto::http::Origin;
use thiserror::Error;

use crate::path::{PathFault, Segments};

/// Longest user name, in bytes.
const MAX_USER: usize = 256;
/// Longest path of a rule, in bytes.
const MAX_PATH: usize = 1024;

/// The origin, and the paths there, that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePlace {
    user: Option<String>,
    origin: Origin,
    path: RulePath,
}

/// The path of a rule; one without segments is all of the origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulePath(pub(crate) Segments);

/// Why a text is not a [`RulePlace`]. The text is not repeated: a user may have written a credential into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlaceError {
    #[error("invalid origin: {0}")]
    Origin(OriginError),
    #[error("invalid origin: write HOST[:PORT][/PATH], not a URL")]
    Url,
    /// A rule is for whole paths: it would not matter.
    #[error("invalid path: it has a query or a fragment")]
    Query,
    #[error("invalid path: {}", .0.0)]
    Path(InvalidPath),
    #[error("invalid user: 1 to {MAX_USER} characters, none of them a control character or :")]
    User,
}

/// Why the path of a rule is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPath(pub(crate) PathReason);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PathReason {
    #[error(transparent)]
    Fault(PathFault),
    #[error("it is longer than {MAX_PATH} bytes")]
    Long,
}

impl RulePlace {
    /// The user of `auth=basic`.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn path(&self) -> &RulePath {
        &self.path
    }
}

impl RulePath {
    /// Whether it is all of the origin.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for RulePlace {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.contains("://") {
            return Err(PlaceError::Url);
        }
        let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let is_user = |user: &&str| {
            (1..=MAX_USER).contains(&user.len()) && !user.contains(|c: char| c == ':' || c.is_control())
        };
        if user.is_some_and(|user| !is_user(&user)) {
            return Err(PlaceError::User);
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { host.to_owned() } else { format!("{host}:443") };
        let origin = with_port.parse().map_err(PlaceError::Origin)?;
        if path.contains(['?', '#']) {
            return Err(PlaceError::Query);
        }
        let wrong = |cause| PlaceError::Path(InvalidPath(cause));
        if path.len() > MAX_PATH {
            return Err(wrong(PathReason::Long));
        }
        let path = Segments::parse(path).map_err(|fault| wrong(PathReason::Fault(fault)))?;
        Ok(Self { user: user.map(str::to_owned), origin, path: RulePath(path) })
    }
}

impl fmt::Display for RulePlace {
    /// `HOST[:PORT][/PATH]` in its one form, without the user. Safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin.short(), self.path)
    }
}

impl fmt::Display for RulePath {
    /// As in a URL; empty for all of the origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.encode())
    }
}

#[cfg(test)]
mod tests;
