//! The batch call of git LFS: which files a client wants to fetch or send, and where they are. Its bodies are parsed whole
//! and written anew from what was understood.
//!
//! git LFS is written in Go, whose JSON takes `Header` for `header` and the last of repeated keys: so a body that has such
//! keys is never passed on.

use proto::http::Origin;
use thiserror::Error;

use crate::call::is_oid;
use crate::echo::Echo;
use crate::json::Json;
use crate::rule::{Git, Rule};
use crate::rules::Rules;

/// Largest batch request, in bytes.
pub const MAX_BATCH_REQUEST: usize = 1 << 20;

/// Largest answer to a batch request, in bytes.
pub const MAX_BATCH_ANSWER: usize = 4 << 20;

/// Longest text in a batch request or answer, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// Why a batch request or its answer does not go on. Safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LfsError {
    #[error("it is larger than {MAX_BATCH_REQUEST} bytes")]
    LargeRequest,
    #[error("it is larger than {MAX_BATCH_ANSWER} bytes")]
    LargeAnswer,
    #[error("it is not JSON in UTF-8, or a key is repeated")]
    Json,
    #[error("it has a key that is unknown, or a value that is not understood")]
    Unknown,
    /// An upload, or another operation than download.
    #[error("the rule does not permit this operation: to permit uploads, write git+push for git")]
    Operation,
    #[error("only the transfer `basic` is supported")]
    Transfer,
    /// The address has no rule, so that the credential would reach the build.
    #[error(
        "the server answered with the credential for an address without a rule: add one for that address"
    )]
    Credential,
}

impl LfsError {
    /// The status of the answer to a request with this error.
    pub fn status(self) -> u16 {
        match self {
            Self::LargeRequest => 413,
            Self::Json | Self::Unknown | Self::Transfer => 400,
            Self::Operation => 403,
            Self::LargeAnswer | Self::Credential => 502,
        }
    }
}

/// The body of a batch request under `rule`, written anew.
///
/// # Errors
/// [`LfsError`]
pub fn request(rule: &Rule, body: &[u8]) -> Result<Vec<u8>, LfsError> {
    if body.len() > MAX_BATCH_REQUEST {
        return Err(LfsError::LargeRequest);
    }
    let (mut operation, mut objects, mut reference) = (None, None, None);
    let mut hash = false;
    for (key, value) in object(Json::parse(body).ok_or(LfsError::Json)?)? {
        match (key.as_str(), value) {
            ("operation", Json::Text(value)) => operation = Some(value),
            ("objects", Json::List(list)) => objects = Some(list),
            ("hash_algo", Json::Text(value)) if value == "sha256" => hash = true,
            ("ref", Json::Null) => {}
            ("ref", Json::Object(entries)) => match entries.as_slice() {
                [(key, Json::Text(name))] if key == "name" && is_text(name) => reference = Some(name.clone()),
                _ => return Err(LfsError::Unknown),
            },
            ("transfers", Json::Null) => {}
            // Other ways of transfer have answers of their own.
            ("transfers", Json::List(list)) if list.is_empty() => {}
            ("transfers", Json::List(list)) if list.contains(&Json::Text("basic".to_owned())) => {}
            ("transfers", Json::List(_)) => return Err(LfsError::Transfer),
            (_, _) => return Err(LfsError::Unknown),
        }
    }
    let operation = match (operation.as_deref(), rule.git) {
        (Some("download"), Git::Fetch | Git::Push) => "download",
        (Some("upload"), Git::Push) => "upload",
        (Some(_), _) => return Err(LfsError::Operation),
        (None, _) => return Err(LfsError::Unknown),
    };
    let mut written = Vec::new();
    for item in objects.ok_or(LfsError::Unknown)? {
        let (mut oid, mut size) = (None, None);
        for (key, value) in object(item)? {
            match (key.as_str(), value) {
                ("oid", Json::Text(value)) if is_oid(&value) => oid = Some(value),
                ("size", Json::Number(value)) => size = Some(value),
                (_, _) => return Err(LfsError::Unknown),
            }
        }
        let (Some(oid), Some(size)) = (oid, size) else { return Err(LfsError::Unknown) };
        written.push(serde_json::json!({"oid": oid, "size": size}));
    }
    let mut body = serde_json::json!({"operation": operation, "transfers": ["basic"], "objects": written});
    if let Some(fields) = body.as_object_mut() {
        if let Some(name) = reference {
            fields.insert("ref".to_owned(), serde_json::json!({"name": name}));
        }
        if hash {
            fields.insert("hash_algo".to_owned(), "sha256".into());
        }
    }
    Ok(body.to_string().into_bytes())
}

/// The body of the answer to a batch request, written anew. Actions at origins with rules have no header fields: the rule
/// adds what they need.
///
/// # Errors
/// [`LfsError`]
pub fn answer(rules: &Rules, echo: &Echo, body: &[u8]) -> Result<Vec<u8>, LfsError> {
    if body.len() > MAX_BATCH_ANSWER {
        return Err(LfsError::LargeAnswer);
    }
    let mut written = serde_json::Map::new();
    for (key, value) in object(Json::parse(body).ok_or(LfsError::Json)?)? {
        match (key.as_str(), value) {
            ("transfer", Json::Text(value)) if value == "basic" => {
                written.insert(key, value.into());
            }
            ("transfer", Json::Text(value)) if !value.is_empty() => return Err(LfsError::Transfer),
            ("hash_algo", Json::Text(value)) if value == "sha256" => {
                written.insert(key, value.into());
            }
            ("objects", Json::List(list)) => {
                let list: Result<Vec<_>, _> =
                    list.into_iter().map(|item| answered(rules, echo, item)).collect();
                written.insert(key, list?.into());
            }
            (_, _) => {}
        }
    }
    if !written.contains_key("objects") {
        return Err(LfsError::Unknown);
    }
    let body = serde_json::Value::Object(written).to_string().into_bytes();
    Ok(echo.overwritten(&body).unwrap_or(body))
}

/// One object of an answer.
fn answered(rules: &Rules, echo: &Echo, item: Json) -> Result<serde_json::Value, LfsError> {
    let mut written = serde_json::Map::new();
    for (key, value) in object(item)? {
        match (key.as_str(), value) {
            ("oid", Json::Text(value)) if is_oid(&value) => drop(written.insert(key, value.into())),
            ("size", Json::Number(value)) => drop(written.insert(key, value.into())),
            ("authenticated", Json::Bool(value)) => drop(written.insert(key, value.into())),
            ("error", Json::Object(entries)) => {
                let mut error = serde_json::Map::new();
                for (key, value) in entries {
                    match (key.as_str(), value) {
                        ("code", Json::Number(value)) => drop(error.insert(key, value.into())),
                        ("message", Json::Text(value)) if is_text(&value) => {
                            drop(error.insert(key, value.into()));
                        }
                        (_, _) => {}
                    }
                }
                written.insert(key, error.into());
            }
            ("actions", Json::Object(entries)) => {
                let mut actions = serde_json::Map::new();
                for (name, value) in entries {
                    if matches!(name.as_str(), "download" | "upload" | "verify") {
                        actions.insert(name, action(rules, echo, value)?);
                    }
                }
                written.insert(key, actions.into());
            }
            (_, _) => {}
        }
    }
    Ok(written.into())
}

fn action(rules: &Rules, echo: &Echo, action: Json) -> Result<serde_json::Value, LfsError> {
    let (mut written, mut fields, mut is_ruled) = (serde_json::Map::new(), serde_json::Map::new(), None);
    for (key, value) in object(action)? {
        match (key.as_str(), value) {
            ("href", Json::Text(value)) => {
                let origin = origin_of(&value).ok_or(LfsError::Unknown)?;
                is_ruled = Some(origin.is_some_and(|origin| rules.has(&origin)));
                written.insert(key, value.into());
            }
            ("header", Json::Object(entries)) => {
                for (name, value) in entries {
                    let Json::Text(value) = value else { return Err(LfsError::Unknown) };
                    if !is_text(&value) || !is_text(&name) {
                        return Err(LfsError::Unknown);
                    }
                    fields.insert(name, value.into());
                }
            }
            ("expires_in", Json::Number(value)) => drop(written.insert(key, value.into())),
            ("expires_at", Json::Text(value)) if is_text(&value) => drop(written.insert(key, value.into())),
            (_, _) => {}
        }
    }
    if !is_ruled.ok_or(LfsError::Unknown)? && !fields.is_empty() {
        let is_ours = |text: &str| echo.is_in(text.as_bytes());
        if fields.iter().any(|(name, value)| is_ours(name) || value.as_str().is_some_and(is_ours)) {
            return Err(LfsError::Credential);
        }
        written.insert("header".to_owned(), fields.into());
    }
    Ok(written.into())
}

/// The origin of a URL; `Some(None)` for one of plain HTTP, which has no rule.
fn origin_of(url: &str) -> Option<Option<Origin>> {
    if !is_text(url) || url.contains(['\\', ' ']) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        return None;
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    match scheme.to_ascii_lowercase().as_str() {
        "https" if has_port => authority.parse().ok().map(Some),
        "https" => format!("{authority}:443").parse().ok().map(Some),
        "http" => Some(None),
        _ => None,
    }
}

fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains(char::is_control)
}

fn object(json: Json) -> Result<Vec<(String, Json)>, LfsError> {
    match json {
        Json::Object(entries) => Ok(entries),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::OtherNumber | Json::Text(_) | Json::List(_) => {
            Err(LfsError::Unknown)
        }
    }
}

#[cfg(test)]
mod tests;
