//! Values of options that both halves have.

use proto::Endpoint;

use crate::usage::UsageError;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON value.
    Json,
}

/// `text` or `json`.
///
/// # Errors
/// [`UsageError::Option`], as for all of these.
pub(crate) fn format(value: Option<&str>) -> Result<Format, UsageError> {
    match value {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(UsageError::option("--format", "must be text or json")),
    }
}

/// `host:port`, several times.
pub(crate) fn endpoints(values: &[String]) -> Result<Vec<Endpoint>, UsageError> {
    if values.len() > proto::limits::MAX_ENDPOINTS {
        let problem = format!("at most {} endpoints", proto::limits::MAX_ENDPOINTS);
        return Err(UsageError::option("--endpoint", problem));
    }
    let parsed = values.iter().map(|value| value.parse::<Endpoint>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|_| UsageError::option("--endpoint", "must be HOST:PORT, with an IPv6 address in brackets"))
}
