//! The request that goes to the server, written anew.

use http_message::{BodyLength, Header, Headers, RequestHead, Target, Version};

use crate::fields::{Field, field, same_name};
use crate::path::decode_leniently;
use crate::refusal::Denied;
use crate::rule::{Own, Rule};
use crate::verdict::RequestKind;

/// Names of parameters that servers take for the method of the request.
const METHOD_PARAMETERS: [&str; 6] =
    ["_method", "_httpmethod", "$httpmethod", "httpmethod", "x-http-method", "x-http-method-override"];

/// Refuses what no rule can permit.
pub(crate) fn check_fields(head: &RequestHead) -> Result<(), Denied> {
    let is_grpc = |value: &[u8]| {
        value.get(..16).is_some_and(|beginning| beginning.eq_ignore_ascii_case(b"application/grpc"))
    };
    if head.headers.all("Content-Type").any(is_grpc) {
        return Err(Denied::Upgrade);
    }
    for Header { name, value } in head.headers.iter() {
        match field(name) {
            Field::Upgrade => return Err(Denied::Upgrade),
            Field::OtherResource => return Err(Denied::OtherResource),
            Field::Expect if !value.eq_ignore_ascii_case(b"100-continue") => return Err(Denied::Expect),
            Field::Expect
            | Field::HopByHop
            | Field::Framing
            | Field::Host
            | Field::Override
            | Field::Authorization
            | Field::Ordinary => {}
        }
    }
    Ok(())
}

/// Whether a query has a parameter that servers take for the method.
pub(crate) fn is_override_query(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = decode_leniently(name.replace('+', " ").as_bytes()).to_ascii_lowercase();
        METHOD_PARAMETERS.contains(&name.trim())
    })
}

/// The head for the server of `rule`: what was understood, and the fields that go on.
pub(crate) fn rewrite(
    rule: &Rule,
    head: &RequestHead,
    target: Target,
    body: BodyLength,
    kind: RequestKind,
) -> RequestHead {
    let mut headers = Headers::default();
    headers.push("Host", rule.place().origin().short());
    let connection = connection_names(&head.headers);
    for Header { name, value } in head.headers.iter() {
        let goes_on = match field(name) {
            Field::Ordinary => true,
            Field::Authorization => name.eq_ignore_ascii_case("Authorization") && rule.own == Own::Keep,
            Field::HopByHop
            | Field::Framing
            | Field::Host
            | Field::Override
            | Field::OtherResource
            | Field::Expect
            | Field::Upgrade => false,
        };
        let is_ours = same_name(name, rule.auth().header()) && rule.own == Own::Replace;
        let is_of_connection = connection.iter().any(|other| same_name(other, name));
        let is_of_batch = kind == RequestKind::LfsBatch && same_name(name, "Accept-Encoding");
        if goes_on && !is_ours && !is_of_connection && !is_of_batch {
            headers.push(name.clone(), value.clone());
        }
    }
    if kind == RequestKind::LfsBatch {
        headers.push("Accept-Encoding", "identity");
    }
    match body {
        BodyLength::None | BodyLength::UntilClose => {}
        BodyLength::Known(length) => headers.push("Content-Length", length.to_string()),
        BodyLength::Chunked => headers.push("Transfer-Encoding", "chunked"),
    }
    RequestHead { method: head.method.clone(), target, version: Version::Http11, headers }
}

/// The names that `Connection` has: fields of this connection only.
fn connection_names(headers: &Headers) -> Vec<String> {
    headers
        .all("Connection")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
