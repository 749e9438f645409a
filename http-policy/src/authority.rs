//! Which server a request names.

use http_message::{RequestHead, Target};
use proto::http::Origin;

use crate::refusal::Denied;

/// The path and query of a request over a connection to `origin`, if the request names no other server.
pub(crate) fn check_authority<'a>(origin: &Origin, head: &'a RequestHead) -> Result<&'a str, Denied> {
    let (authority, path) = match &head.target {
        Target::Path(path) => (None, path),
        Target::Absolute { scheme, authority, path } if scheme == "https" => (Some(authority), path),
        Target::Absolute { .. } => return Err(Denied::Authority),
        Target::Authority(_) => return Err(Denied::Connect),
        Target::Asterisk => return Err(Denied::Asterisk),
    };
    let mut hosts = head.headers.all("Host");
    let is_same =
        |text: &[u8]| str::from_utf8(text).is_ok_and(|text| authority_of(text).as_ref() == Some(origin));
    match (authority, hosts.next(), hosts.next()) {
        (None, Some(host), None) if is_same(host) => Ok(path),
        (Some(authority), None, None) if is_same(authority.as_bytes()) => Ok(path),
        (Some(authority), Some(host), None) if is_same(authority.as_bytes()) && is_same(host) => Ok(path),
        (_, None, _) => Err(Denied::NoHost),
        (_, Some(_), _) => Err(Denied::Authority),
    }
}

/// The origin that `HOST[:PORT]` names, for https.
fn authority_of(text: &str) -> Option<Origin> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { text.parse().ok() } else { format!("{text}:443").parse().ok() }
}
