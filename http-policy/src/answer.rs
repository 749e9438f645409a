//! What of an answer reaches the tool.

use http_message::{AnswerHead, Header};
use proto::limits::MAX_SIGNED_URL;

use crate::echo::Echo;
use crate::fields::{Field, field};
use crate::rule::Rule;
use crate::verdict::shown;

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    Forward {
        /// What goes to the tool: without cookies and fields of the connection, the credential overwritten. A
        /// Content-Length is in it, a Transfer-Encoding is not.
        head: AnswerHead,
        /// The URL in `Location`, as it came, if it has a query: it may be signed.
        signed_url: Option<Vec<u8>>,
        /// Whether the body is not encoded, so that [`Echo::overwrite`] finds the credential in it.
        is_plain: bool,
    },
    /// The tool gets a 502 with this text. Safe to show.
    Refuse {
        /// A word for the audit: it does not change.
        reason: &'static str,
        text: String,
    },
}

impl Rule {
    /// What of an answer to a request under this rule reaches the tool. `echo` is [`Echo::none`] if no credential was added.
    pub fn answer(&self, head: AnswerHead, echo: &Echo) -> Answered {
        let place = shown(&self.to_string(), 60);
        match head.status {
            401 if !echo.is_none() => Answered::Refuse {
                reason: "unauthorized",
                text: format!(
                    "the server does not accept the credential of the rule {place} (401): check its value, and auth= of the \
                     rule"
                ),
            },
            // Tools would send it what they have for a proxy.
            407 => Answered::Refuse {
                reason: "protocol",
                text: format!("the server of the rule {place} answered as only a proxy may (407)"),
            },
            101 => Answered::Refuse {
                reason: "protocol",
                text: format!("the server of the rule {place} switched to another protocol (101)"),
            },
            _ => forward(head, echo),
        }
    }
}

fn forward(head: AnswerHead, echo: &Echo) -> Answered {
    let AnswerHead { version, status, reason, mut headers } = head;
    let of_connection: Vec<Vec<u8>> = headers
        .all("Connection")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    // Clients could wait for a body that never comes.
    if matches!(status, 100..=199 | 204) {
        headers.remove("Content-Length");
    }
    headers.retain(|Header { name, .. }| {
        let dropped = ["set-cookie", "set-cookie2", "alt-svc", "upgrade", "transfer-encoding"];
        let name = name.to_ascii_lowercase();
        !dropped.contains(&name.as_str())
            && field(&name) != Field::HopByHop
            && (name == "content-length" || !of_connection.iter().any(|other| *other == name.as_bytes()))
    });
    for header in headers.iter_mut() {
        if let Some(value) = echo.overwritten(&header.value) {
            header.value = value;
        }
        // A `*` may stand in a name, too.
        if let Some(name) = echo.overwritten(header.name.as_bytes()) {
            header.name = String::from_utf8_lossy(&name).into_owned();
        }
    }
    let is_plain = headers.all("Content-Encoding").all(|value| value.eq_ignore_ascii_case(b"identity"));
    let signed_url = headers
        .all("Location")
        .find(|url| url.contains(&b'?') && url.len() <= MAX_SIGNED_URL)
        .map(<[u8]>::to_vec);
    let reason = echo.overwritten(&reason).unwrap_or(reason);
    Answered::Forward { head: AnswerHead { version, status, reason, headers }, signed_url, is_plain }
}

#[cfg(test)]
mod tests;
