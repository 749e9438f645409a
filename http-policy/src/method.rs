//! Methods that a rule can permit.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A method that a rule can permit. All others are refused everywhere: CONNECT and TRACE above all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// Not one of the methods that a rule can permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")]
pub struct UnknownMethod;

impl Method {
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// As in a request: methods are case-sensitive (RFC 9110, 9.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(UnknownMethod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert!(Method::ALL.iter().all(|method| method.as_str().parse() == Ok(*method)));
        for other in ["get", "Get", "GET ", "TRACE", "CONNECT", ""] {
            assert!(other.parse::<Method>().is_err(), "{other}");
        }
    }
}
