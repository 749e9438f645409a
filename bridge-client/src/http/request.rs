//! What COMMAND is to get for HTTP requests.

use proto::http::Origin;

/// Whether COMMAND gets the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMode {
    /// It gets none.
    None,
    /// If the bridge has a rule.
    IfRuled,
    /// If the bridge has no rule, COMMAND does not start.
    Required,
}

/// What COMMAND is to get for HTTP requests.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub mode: HttpMode,
    /// Variables that get a placeholder, for tools that do not start without a token.
    pub placeholders: Vec<String>,
    /// Origins that get a plain HTTP port on loopback each, and the variable for its base URL.
    pub listen: Vec<(Origin, String)>,
}

impl HttpRequest {
    /// COMMAND gets no proxy.
    pub fn none() -> Self {
        Self { mode: HttpMode::None, placeholders: Vec::new(), listen: Vec::new() }
    }

    /// Whether the bridge is asked for its origins.
    pub(crate) fn is_wanted(&self) -> bool {
        match self.mode {
            HttpMode::None => false,
            HttpMode::IfRuled | HttpMode::Required => true,
        }
    }
}
