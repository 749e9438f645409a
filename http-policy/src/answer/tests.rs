use proto::Secret;

use super::*;
use crate::testing::rule;

const TOKEN: &str = "tok_4711_secret";

fn answered(lines: &[&str], echo: &Echo) -> Answered {
    let bytes = format!("{}\r\n\r\n", lines.join("\r\n"));
    let (head, _) = AnswerHead::parse(bytes.as_bytes()).unwrap().unwrap();
    rule("h.example/a").answer(head, echo)
}

fn echo() -> Echo {
    Echo::new(&rule("h.example/a"), &Secret::from(TOKEN.to_owned())).unwrap()
}

fn forwarded(lines: &[&str]) -> (String, Option<Vec<u8>>, bool) {
    match answered(lines, &echo()) {
        Answered::Forward { head, signed_url, is_plain } => {
            (String::from_utf8(head.write()).unwrap().trim_end().replace("\r\n", "|"), signed_url, is_plain)
        }
        Answered::Refuse { reason, text } => panic!("{reason}: {text}"),
    }
}

#[test]
fn what_could_be_carried_away_or_lead_elsewhere_is_dropped() {
    for field in [
        "Set-Cookie: a=b",
        "set-cookie2: a",
        "Alt-Svc: h3=\":443\"",
        "Connection: X-A",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Proxy-Authentication-Info: a",
        "Trailer: X",
        "Upgrade: h2c",
        "TE: a",
        "Transfer-Encoding: chunked",
        "X-A: named by Connection",
    ] {
        let (head, _, _) = forwarded(&[
            "HTTP/1.1 200 OK",
            "Connection: x-a , close",
            field,
            "ETag: \"x\"",
            "Content-Type: a/b",
        ]);
        assert_eq!(head, "HTTP/1.1 200 OK|ETag: \"x\"|Content-Type: a/b", "{field}");
    }
    let (head, _, _) = forwarded(&["HTTP/1.1 200 OK", "Connection: content-length", "Content-Length: 5"]);
    assert_eq!(head, "HTTP/1.1 200 OK|Content-Length: 5");
    // A client could wait for a body that never comes.
    let (head, _, _) = forwarded(&["HTTP/1.1 204 No Content", "Content-Length: 5"]);
    assert_eq!(head, "HTTP/1.1 204 No Content");
}

#[test]
fn a_credential_in_the_head_is_overwritten() {
    let (head, url, _) = forwarded(&[
        &format!("HTTP/1.1 302 {TOKEN}"),
        &format!("X-{TOKEN}: a"),
        &format!("Location: https://o.example/?t={TOKEN}&u=v"),
        "WWW-Authenticate: Bearer dG9rXzQ3MTFfc2VjcmV0",
    ]);
    let stars = "*".repeat(TOKEN.len());
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 302 {stars}|X-{stars}: a|Location: https://o.example/?t={stars}&u=v|WWW-Authenticate: Bearer {}",
            "*".repeat(20)
        )
    );
    assert_eq!(url, Some(format!("https://o.example/?t={stars}&u=v").into_bytes()));
}

#[test]
fn a_location_with_a_query_may_be_signed() {
    let of = |location: &str| forwarded(&["HTTP/1.1 307 x", &format!("Location: {location}")]).1;
    assert_eq!(
        of("https://s3.example/a?X-Amz-Signature=b"),
        Some(b"https://s3.example/a?X-Amz-Signature=b".to_vec())
    );
    assert_eq!(of("/a?b"), Some(b"/a?b".to_vec()));
    assert_eq!(of("/a"), None);
    assert_eq!(of(&format!("/a?{}", "b".repeat(MAX_SIGNED_URL))), None);
    // For a file that was created, too.
    assert!(forwarded(&["HTTP/1.1 201 x", "location: /a?b"]).1.is_some());
}

#[test]
fn a_body_is_searched_if_it_is_not_encoded() {
    let is_plain = |fields: &[&str]| forwarded(&[&["HTTP/1.1 200 OK"], fields].concat()).2;
    assert!(is_plain(&[]) && is_plain(&["Content-Encoding: Identity"]));
    assert!(
        !is_plain(&["Content-Encoding: gzip"])
            && !is_plain(&["Content-Encoding: identity", "content-encoding: br"])
    );
}

#[test]
fn the_servers_no_to_our_credential_is_not_the_tools() {
    let refused = |lines: &[&str], echo: &Echo| match answered(lines, echo) {
        Answered::Refuse { reason, text } => Some((reason, text)),
        Answered::Forward { .. } => None,
    };
    let (reason, text) = refused(&["HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic"], &echo()).unwrap();
    assert_eq!(reason, "unauthorized");
    assert_eq!(
        text,
        "the server does not accept the credential of the rule h.example/a (401): check its value, and auth= of the rule"
    );
    // It was the tool's own.
    assert_eq!(refused(&["HTTP/1.1 401 Unauthorized"], &Echo::none()), None);
    assert_eq!(refused(&["HTTP/1.1 403 Forbidden"], &echo()), None);
    for status in ["101 Switching", "407 Proxy"] {
        assert_eq!(refused(&[&format!("HTTP/1.1 {status}")], &Echo::none()).unwrap().0, "protocol");
    }
    // A short credential is not looked for, and is ours even so.
    let short = Echo::new(&rule("h.example"), &Secret::from("pw".to_owned())).unwrap();
    assert!(refused(&["HTTP/1.1 401 Unauthorized"], &short).is_some());
}
