//! Rules and requests for tests.

use http_message::RequestHead;
use proto::http::Origin;

use crate::rule::Rule;
use crate::rules::Rules;
use crate::verdict::{Permitted, Refusal, Verdict};

/// Rules, each written as `PLACE,option…`.
pub(crate) fn rules(texts: &[&str]) -> Rules {
    Rules::new(texts.iter().map(|text| rule(text)).collect()).unwrap()
}

pub(crate) fn rule(text: &str) -> Rule {
    let mut parts = text.split(',');
    let mut rule = Rule::new(parts.next().unwrap().parse().unwrap());
    for option in parts {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        assert_eq!(rule.option(name, value), Ok(true), "{option}");
    }
    rule
}

pub(crate) fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

/// A request whose lines are joined by line ends.
pub(crate) fn head(lines: &[&str]) -> RequestHead {
    let bytes = format!("{}\r\n\r\n", lines.join("\r\n"));
    let (head, length) = RequestHead::parse(bytes.as_bytes()).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    head
}

/// The verdict on a request for `h.example`, of which the first line is `METHOD PATH`.
pub(crate) fn judge(rules: &Rules, request: &str, fields: &[&str]) -> Result<Permitted, Refusal> {
    let first = format!("{request} HTTP/1.1");
    let lines = [&[first.as_str(), "Host: h.example"], fields].concat();
    verdict(rules, &lines)
}

/// The verdict on a request over a connection to `h.example`.
pub(crate) fn verdict(rules: &Rules, lines: &[&str]) -> Result<Permitted, Refusal> {
    match rules.judge(&origin("h.example:443"), &head(lines)) {
        Verdict::Forward(permitted) => Ok(permitted),
        Verdict::Refuse(refusal) => {
            assert!(refusal.text.chars().count() <= crate::verdict::MAX_REFUSAL, "{}", refusal.text);
            assert_eq!(proto::escape_whole(&refusal.text), refusal.text);
            Err(refusal)
        }
    }
}

/// The reason of a refusal; `ok` if there is none.
pub(crate) fn word(verdict: &Result<Permitted, Refusal>) -> &'static str {
    verdict.as_ref().map_or_else(|refusal| refusal.reason, |_| "ok")
}
