//! Agent ids.

use std::fmt;
use std::str::FromStr;

use crate::error::KeyError;
use crate::key::Key;

/// The id of an agent: 1 to 128 characters of a key's alphabet, so that it needs no escaping either.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(Key);

impl AgentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is the id that nobody needs to name.
    pub fn is_default(&self) -> bool {
        self.as_str() == "default"
    }
}

impl FromStr for AgentId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
