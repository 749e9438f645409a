use std::fmt;
use std::str::FromStr;

use crate::error::AgentIdError;
use crate::key::check_name;

/// The id of an agent: as a [`Key`](crate::Key), 1 to 128 characters that need no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(String);

impl AgentId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the id that stands for an agent offered or requested without one.
    pub fn is_default(&self) -> bool {
        self.as_str() == "default"
    }
}

impl FromStr for AgentId {
    type Err = AgentIdError;

    fn from_str(text: &str) -> Result<Self, AgentIdError> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
