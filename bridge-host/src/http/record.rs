//! What audit, log and summary say about HTTP requests.

use std::io;
use std::net::SocketAddr;

use http_message::{RequestHead, Target};
use proto::http::Origin;
use proto::{SessionId, escape_whole};

use crate::audit::{HttpTarget, Record, Shown};
use crate::recorder::Recorder;

/// Most characters of a path in a record.
const MAX_PATH: usize = 256;
/// Most characters of a method in a record.
const MAX_METHOD: usize = 32;

/// Who sends requests on a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requester {
    pub(crate) session: SessionId,
    pub(crate) peer: SocketAddr,
}

/// A request as records name it: escaped, cut, and without its query, which may hold a token.
pub(super) struct Named {
    method: Option<String>,
    origin: String,
    path: Option<String>,
}

impl Named {
    /// `head` is `None` if the request could not be read.
    pub(super) fn new(origin: &Origin, head: Option<&RequestHead>) -> Self {
        let path = head.map(|head| match &head.target {
            Target::Path(path) | Target::Absolute { path, .. } => path.split('?').next().unwrap_or_default(),
            Target::Authority(authority) => authority,
            Target::Asterisk => "*",
        });
        Self {
            method: head.map(|head| shown(&head.method, MAX_METHOD)),
            origin: origin.to_string(),
            path: path.map(|path| shown(path, MAX_PATH)),
        }
    }

    fn target(&self) -> HttpTarget<'_> {
        HttpTarget { method: self.method.as_deref(), origin: &self.origin, path: self.path.as_deref() }
    }
}

/// `text` escaped, in at most `most` characters.
fn shown(text: &str, most: usize) -> String {
    let beginning: String = text.chars().take(most + 1).collect();
    let escaped = escape_whole(&beginning);
    match escaped.char_indices().nth(most) {
        None => escaped,
        Some(_) => escaped.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// Records a request that is refused, and counts it.
pub(super) fn refused(
    recorder: &Recorder,
    requester: &Requester,
    number: u64,
    (rule, reason): (Option<&str>, &'static str),
    named: &Named,
) {
    recorder.count_refusal();
    if let Some(rule) = rule {
        recorder.count_http(rule, |counts| counts.refused += 1);
    }
    recorder.audit().note(&Record::HttpRequest {
        session: Shown(requester.session),
        peer: requester.peer,
        request: number,
        verdict: "refused",
        reason: Some(reason),
        rule,
        sent: None,
        claimed: Some(named.target()),
    });
}

/// A request that was permitted. When this is dropped, it writes the record of how it ended.
pub(super) struct Granted<'a> {
    recorder: &'a Recorder,
    requester: Requester,
    number: u64,
    rule: &'a str,
    /// Of the server's answer.
    pub(super) status: Option<u16>,
    /// Bytes of the body that went to the server.
    pub(super) sent: u64,
    /// Bytes of the body that went to the tool.
    pub(super) received: u64,
    outcome: &'static str,
    reason: Option<&'static str>,
}

impl<'a> Granted<'a> {
    /// Writes the record that must precede the request.
    ///
    /// # Errors
    /// The system's, if the record cannot be written: nothing may be sent.
    pub(super) fn permit(
        recorder: &'a Recorder,
        requester: &Requester,
        number: u64,
        rule: &'a str,
        named: &Named,
    ) -> io::Result<Self> {
        let Requester { session, peer } = *requester;
        recorder.audit().write(&Record::HttpRequest {
            session: Shown(session),
            peer,
            request: number,
            verdict: "granted",
            reason: None,
            rule: Some(rule),
            sent: Some(named.target()),
            claimed: None,
        })?;
        recorder.count_http(rule, |counts| counts.requests += 1);
        Ok(Self {
            recorder,
            requester: *requester,
            number,
            rule,
            status: None,
            sent: 0,
            received: 0,
            outcome: "cut",
            reason: None,
        })
    }

    /// The tool has all of the server's answer.
    pub(super) fn completed(&mut self) {
        self.outcome = "completed";
    }

    /// The tool gets an answer of ours, or its answer is cut, for this reason.
    pub(super) fn failed(&mut self, reason: &'static str, answer_has_begun: bool) {
        self.outcome = if answer_has_begun { "cut" } else { "failed" };
        self.reason = Some(reason);
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        let (sent, received) = (self.sent, self.received);
        self.recorder.count_http(self.rule, |counts| {
            counts.bytes = counts.bytes.saturating_add(sent).saturating_add(received);
        });
        self.recorder.audit().note(&Record::HttpAnswered {
            session: Shown(self.requester.session),
            peer: self.requester.peer,
            request: self.number,
            rule: self.rule,
            status: self.status,
            outcome: self.outcome,
            reason: self.reason,
            sent,
            received,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_cut_and_has_no_query() {
        let named = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (head, _) = RequestHead::parse(request.as_bytes()).unwrap().unwrap();
            Named::new(&"a.example:443".parse().unwrap(), Some(&head)).path.unwrap()
        };
        assert_eq!(named("/@org%2fname?token=hunter2"), "/@org%2fname");
        assert_eq!(named("http://a.example/x?y"), "/x");
        assert_eq!(named("/\u{202e}x"), "/\\u{202e}x");
        let long = named(&format!("/{}", "a".repeat(300)));
        assert_eq!((long.chars().count(), long.ends_with("a…")), (MAX_PATH, true));
        assert_eq!(named(&"/\u{202e}".repeat(200)).chars().count(), MAX_PATH);
        assert_eq!(named(&format!("/{}", "a".repeat(255))).len(), MAX_PATH);
    }

    #[test]
    fn every_word_is_documented() {
        let page = include_str!("../../../docs/AUDIT.md");
        let (_, page) = page.split_once("## HTTP requests").unwrap();
        let words = "malformed authority framing protocol header path near-miss no-rule method git push lfs credential dns \
                     unreachable proxy certificate tls no-answer timed-out malformed-answer server-closed unauthorized \
                     completed cut failed";
        for word in words.split_whitespace() {
            assert!(page.contains(&format!("`{word}`")), "docs/AUDIT.md does not have {word}");
        }
    }
}
