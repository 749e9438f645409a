//! What `run` prints at its end.

use bridge_host::{HttpCounts, Summary};
use proto::Key;
use serde_json::json;

/// The summary for people: a sentence, and one for each of the `rules`.
pub(super) fn sentences(summary: &Summary, rules: &[String]) -> Vec<String> {
    let mut sentences = vec![sentence(summary)];
    if summary.sessions == 0 {
        return sentences;
    }
    let counts = |rule: &String| summary.http.get(rule).copied().unwrap_or_default();
    sentences.extend(rules.iter().map(|rule| format!("{rule}: {}", requests(counts(rule)))));
    // Requests to a ruled origin that no rule permits.
    let others = summary.http.iter().filter(|(rule, _)| !rules.contains(rule));
    sentences.extend(others.map(|(rule, counts)| format!("{rule}: {}", requests(*counts))));
    sentences
}

fn sentence(summary: &Summary) -> String {
    // Signatures through --agent-socket belong to no session.
    if summary.sessions == 0 && summary.signatures == 0 && summary.refusals == 0 {
        return match (summary.handshakes_refused, summary.connections) {
            (0, 0) => "no connection arrived: every step cached, or the build cannot reach this host (docs/REACH.md)"
                .to_owned(),
            (0, arrived) => format!("no session: {} that asked for no secret", counted(arrived, "connection")),
            (refused, _) => format!("no session: {} refused in the handshake", counted(refused, "connection")),
        };
    }
    let keys: Vec<&str> = summary.keys.iter().map(Key::as_str).collect();
    let named = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
    let mut sentence = format!(
        "{}, {} read{named}, {}, {}",
        counted(summary.sessions, "session"),
        counted(keys.len() as u64, "key"),
        counted(summary.signatures, "signature"),
        counted(summary.refusals, "refusal"),
    );
    if summary.handshakes_refused > 0 {
        sentence += &format!(", {} refused", counted(summary.handshakes_refused, "handshake"));
    }
    sentence
}

fn requests(counts: HttpCounts) -> String {
    let HttpCounts { requests, bytes, refused } = counts;
    match (requests, refused) {
        (0, 0) => "no request (a step sends its requests this way under `exec --http`)".to_owned(),
        (requests, 0) => format!("{}, {}", counted(requests, "request"), size(bytes)),
        (0, refused) => format!("{refused} refused"),
        (requests, refused) => {
            format!("{}, {}, {refused} refused", counted(requests, "request"), size(bytes))
        }
    }
}

/// In decimal units, as tools show what they download.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => counted(bytes, "byte"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        1_000_000_000.. => {
            let tenths = bytes.div_ceil(100_000_000);
            format!("{}.{} GB", tenths / 10, tenths % 10)
        }
    }
}

pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The summary as one JSON object. Each of the `rules` is in it, also if it was not used.
pub(super) fn as_json(summary: &Summary, rules: &[String], code: u32) -> String {
    let keys: Vec<&str> = summary.keys.iter().map(Key::as_str).collect();
    let unused = rules.iter().map(|rule| (rule, HttpCounts::default()));
    let used = summary.http.iter().map(|(rule, counts)| (rule, *counts));
    let http: serde_json::Map<String, serde_json::Value> = unused
        .chain(used)
        .map(|(rule, HttpCounts { requests, bytes, refused })| {
            (rule.clone(), json!({ "requests": requests, "bytes": bytes, "refused": refused }))
        })
        .collect();
    json!({
        "exit_code": code,
        "connections": summary.connections,
        "sessions": summary.sessions,
        "keys": keys,
        "signatures": summary.signatures,
        "refusals": summary.refusals,
        "handshakes_refused": summary.handshakes_refused,
        "http": http,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_when_nothing_arrived() {
        assert!(sentence(&Summary::default()).starts_with("no connection arrived"));
        let refused = Summary { handshakes_refused: 2, ..Summary::default() };
        assert_eq!(sentence(&refused), "no session: 2 connections refused in the handshake");
        let tested = Summary { connections: 1, ..Summary::default() };
        assert_eq!(sentence(&tested), "no session: 1 connection that asked for no secret");
        let signed = Summary { signatures: 1, ..Summary::default() };
        assert_eq!(sentence(&signed), "0 sessions, 0 keys read, 1 signature, 0 refusals");
    }

    #[test]
    fn the_summary_names_the_keys() {
        let summary = Summary {
            sessions: 1,
            keys: ["A", "B"].map(|key| key.parse().unwrap()).into(),
            ..Summary::default()
        };
        assert_eq!(sentence(&summary), "1 session, 2 keys read (A, B), 0 signatures, 0 refusals");
    }

    #[test]
    fn every_rule_has_its_requests_and_an_unused_one_a_hint() {
        let rules = ["npm.example", "git.example/org", "pypi.example"].map(str::to_owned);
        let http = [
            ("npm.example", HttpCounts { requests: 214, bytes: 37_100_000, refused: 0 }),
            ("git.example/org", HttpCounts { requests: 1, bytes: 0, refused: 2 }),
            ("git.example", HttpCounts { requests: 0, bytes: 0, refused: 1 }),
        ];
        let http = http.map(|(rule, counts)| (rule.to_owned(), counts)).into();
        let summary = Summary { sessions: 2, http, ..Summary::default() };
        assert_eq!(
            sentences(&summary, &rules)[1..],
            [
                "npm.example: 214 requests, 38 MB",
                "git.example/org: 1 request, 0 bytes, 2 refused",
                "pypi.example: no request (a step sends its requests this way under `exec --http`)",
                "git.example: 1 refused",
            ]
        );
        // Where nothing arrived, the sentence about that says why.
        assert_eq!(sentences(&Summary::default(), &rules).len(), 1);
        let json: serde_json::Value = serde_json::from_str(&as_json(&summary, &rules, 0)).unwrap();
        assert_eq!(json["http"]["npm.example"]["bytes"], 37_100_000);
        assert_eq!(json["http"]["pypi.example"]["requests"], 0);
        assert_eq!(json["http"]["git.example"]["refused"], 1);
    }

    #[test]
    fn sizes_are_rounded_up_in_decimal_units() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_001, "2 kB"),
            (999_999, "1000 kB"),
            (38_000_000, "38 MB"),
            (2_010_000_000, "2.1 GB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert!(size(u64::MAX).ends_with(" GB"));
    }
}
