use proto::Secret;

use super::*;
use crate::testing::{rule, rules};

const OID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TOKEN: &str = "tok_4711_secret";

fn asked(rule_text: &str, body: &str) -> Result<String, LfsError> {
    request(&rule(rule_text), body.replace("OID", OID).as_bytes())
        .map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn a_batch_request_is_written_anew() {
    let body = r#"{"operation":"download","objects":[{"oid":"OID","size":12}],"transfers":["lfs-standalone-file","basic","ssh"],
        "ref":{"name":"refs/heads/main"},"hash_algo":"sha256"}"#;
    assert_eq!(
        asked("h,git,lfs", body).unwrap(),
        format!(
            r#"{{"hash_algo":"sha256","objects":[{{"oid":"{OID}","size":12}}],"operation":"download","ref":{{"name":"refs/heads/main"}},"transfers":["basic"]}}"#
        )
    );
    let least = r#"{"objects":[],"\u006fperation":"download"}"#;
    assert_eq!(
        asked("h,git,lfs", least).unwrap(),
        r#"{"objects":[],"operation":"download","transfers":["basic"]}"#
    );
    // What was written is written as the same.
    let once = asked("h,git,lfs", body).unwrap();
    assert_eq!(asked("h,git,lfs", &once), Ok(once));
}

#[test]
fn an_upload_needs_a_rule_for_push() {
    let upload = r#"{"operation":"upload","objects":[{"oid":"OID","size":12}]}"#;
    assert_eq!(asked("h,git,lfs", upload), Err(LfsError::Operation));
    assert!(asked("h,git+push,lfs", upload).unwrap().contains(r#""operation":"upload""#));
    assert_eq!(LfsError::Operation.status(), 403);
}

#[test]
fn a_batch_request_with_more_than_is_understood_is_refused() {
    for (error, bodies) in [
        (
            LfsError::Json,
            &[
                "",
                "[",
                r#"{"operation":"download","operation":"upload","objects":[]}"#,
                r#"{"operation":"download","\u006fperation":"upload","objects":[]}"#,
                r#"{"operation":"download","objects":[]}{"operation":"upload"}"#,
                r#"{"operation":"download","objects":[{"oid":"OID","oid":"OID","size":1}]}"#,
                "\u{feff}{}",
            ][..],
        ),
        (
            LfsError::Unknown,
            &[
                "[]",
                "null",
                "{}",
                r#"{"operation":"download"}"#,
                r#"{"objects":[]}"#,
                r#"{"operation":"download","Operation":"upload","objects":[]}"#,
                r#"{"OPERATION":"download","objects":[]}"#,
                r#"{"operation":"download","operat\u0131on":"upload","objects":[]}"#,
                r#"{"operation":null,"objects":[]}"#,
                r#"{"operation":["download"],"objects":[]}"#,
                r#"{"operation":"download","objects":{}}"#,
                r#"{"operation":"download","objects":[1]}"#,
                r#"{"operation":"download","objects":[{"oid":"OID"}]}"#,
                r#"{"operation":"download","objects":[{"size":1}]}"#,
                r#"{"operation":"download","objects":[{"oid":"../x","size":1}]}"#,
                r#"{"operation":"download","objects":[{"oid":"OID","size":-1}]}"#,
                r#"{"operation":"download","objects":[{"oid":"OID","size":1.5}]}"#,
                r#"{"operation":"download","objects":[{"oid":"OID","size":"1"}]}"#,
                r#"{"operation":"download","objects":[{"oid":"OID","size":1,"x":1}]}"#,
                r#"{"operation":"download","objects":[],"hash_algo":"md5"}"#,
                r#"{"operation":"download","objects":[],"ref":"main"}"#,
                r#"{"operation":"download","objects":[],"ref":{"name":"a","x":1}}"#,
                r#"{"operation":"download","objects":[],"transfers":"basic"}"#,
                r#"{"operation":"download","objects":[],"x":1}"#,
            ],
        ),
        (
            LfsError::Operation,
            &[
                r#"{"operation":"Download","objects":[]}"#,
                r#"{"operation":"verify","objects":[]}"#,
                r#"{"operation":"","objects":[]}"#,
            ],
        ),
        (
            LfsError::Transfer,
            &[
                r#"{"operation":"download","objects":[],"transfers":["ssh"]}"#,
                r#"{"operation":"download","objects":[],"transfers":["Basic"]}"#,
            ],
        ),
    ] {
        for body in bodies {
            assert_eq!(asked("h,git,lfs", body), Err(error), "{body}");
        }
    }
    let large = format!(r#"{{"operation":"download","objects":[]{}}}"#, " ".repeat(MAX_BATCH_REQUEST));
    assert_eq!(asked("h,git,lfs", &large), Err(LfsError::LargeRequest));
}

fn answered(body: &str) -> Result<String, LfsError> {
    let rules = rules(&["h.example/org,git,lfs", "lfs.example:8443"]);
    let echo = Echo::new(rules.get(0).unwrap(), &Secret::from(TOKEN.to_owned())).unwrap();
    answer(&rules, &echo, body.replace("OID", OID).as_bytes())
        .map(|body| String::from_utf8(body).unwrap().replace(OID, "OID"))
}

/// An answer with one file at `href`.
fn at(href: &str, header: &str) -> String {
    format!(
        r#"{{"objects":[{{"oid":"OID","size":1,"actions":{{"download":{{"href":"{href}","header":{header},"expires_in":60}}}}}}]}}"#
    )
}

#[test]
fn at_an_origin_with_a_rule_an_answer_has_no_header_fields() {
    for href in [
        "https://h.example/org/a",
        "https://h.example:443/other",
        "HTTPS://H.Example./a?b",
        "https://lfs.example:8443/x",
        "https://h.example?x",
        "https://h.example#x",
        "https://h.example",
    ] {
        for header in [
            r#"{"Authorization":"Basic eC1hY2Nlc3MtdG9rZW46dG9rXzQ3MTFfc2VjcmV0"}"#,
            r#"{"Accept":"x"}"#,
            "{}",
        ] {
            assert_eq!(
                answered(&at(href, header)).unwrap(),
                format!(
                    r#"{{"objects":[{{"actions":{{"download":{{"expires_in":60,"href":"{href}"}}}},"oid":"OID","size":1}}]}}"#
                ),
            );
        }
    }
}

#[test]
fn elsewhere_an_answer_keeps_what_is_not_our_credential() {
    for href in [
        "https://s3.example/a?sig=b",
        "http://h.example/a",
        "https://h.example:444/",
        "https://lfs.example/",
        "https://[::1]/a",
    ] {
        let out = answered(&at(href, r#"{"Authorization":"RemoteAuth other-token"}"#)).unwrap();
        assert!(out.contains(r#""header":{"Authorization":"RemoteAuth other-token"}"#), "{out}");
        for ours in [
            "Bearer tok_4711_secret",
            "Basic eC1hY2Nlc3MtdG9rZW46dG9rXzQ3MTFfc2VjcmV0",
            "token TOKEN, tok_4711_secret",
        ] {
            let header = format!(r#"{{"X":"y","authorization":"{ours}"}}"#);
            assert_eq!(answered(&at(href, &header)), Err(LfsError::Credential), "{href} {ours}");
            let header = format!(r#"{{"{ours}":"y"}}"#);
            assert_eq!(answered(&at(href, &header)), Err(LfsError::Credential), "{href} {ours}");
        }
    }
}

#[test]
fn an_answer_is_written_anew() {
    let body = r#"{"transfer":"basic","hash_algo":"sha256","Objects":[],"x":1,"objects":[{"oid":"OID","size":1,"authenticated":true,
        "Actions":{"download":{"href":"https://o.example/","header":{"Authorization":"tok_4711_secret"}}},"_links":{"a":"tok_4711_secret"},
        "error":{"code":404,"message":"not \u0074ok_4711_secret","x":1}}]}"#;
    assert_eq!(
        answered(body).unwrap(),
        r#"{"hash_algo":"sha256","objects":[{"authenticated":true,"error":{"code":404,"message":"not ***************"},"oid":"OID","size":1}],"transfer":"basic"}"#
    );
    let escaped = at("https:\\/\\/o.example\\/a", r#"{"authoriz\u0061tion":"\u0074ok_4711_secret"}"#);
    assert_eq!(answered(&escaped), Err(LfsError::Credential));
    let odd = at("https://o.example/", r#"{}"#)
        .replace("\"header\"", "\"Header\"")
        .replace("{}", r#"{"a":"tok_4711_secret"}"#);
    assert!(!answered(&odd).unwrap().contains("eader"));
}

#[test]
fn an_answer_that_is_not_understood_is_refused() {
    let long = at(&format!("https://o.example/{}", "a".repeat(MAX_TEXT)), "{}");
    for (error, body) in [
        (LfsError::Json, "not JSON".to_owned()),
        (LfsError::Json, r#"{"objects":[],"objects":[]}"#.to_owned()),
        (LfsError::Json, at("https://h.example/", r#"{}, "header": {"Authorization":"x"}"#)),
        (LfsError::Unknown, "{}".to_owned()),
        (LfsError::Unknown, r#"{"message":"x"}"#.to_owned()),
        (LfsError::Unknown, r#"{"objects":[null]}"#.to_owned()),
        (LfsError::Unknown, r#"{"objects":[{"actions":{"download":{}}}]}"#.to_owned()),
        (LfsError::Unknown, at("/org/a", "{}")),
        (LfsError::Unknown, at("//h.example/a", "{}")),
        (LfsError::Unknown, at("ssh://h.example/a", "{}")),
        (LfsError::Unknown, at("file:///etc/passwd", "{}")),
        (LfsError::Unknown, at("https://u@h.example/a", "{}")),
        (LfsError::Unknown, at("https://o.example\\\\@h.example/a", "{}")),
        (LfsError::Unknown, at("https://h.example /a", "{}")),
        (LfsError::Unknown, at("https://h.example\\n/a", "{}")),
        (LfsError::Unknown, at("https://b\u{fc}cher.example/a", "{}")),
        (LfsError::Unknown, at("https://h.example/a", r#"{"a":["b"]}"#)),
        (LfsError::Unknown, at("https://o.example/a", r#"{"a":"b\r\nc"}"#)),
        (LfsError::Unknown, long),
        (LfsError::Transfer, r#"{"objects":[],"transfer":"ssh"}"#.to_owned()),
        (LfsError::LargeAnswer, format!(r#"{{"objects":[]{}}}"#, " ".repeat(MAX_BATCH_ANSWER))),
    ] {
        assert_eq!(answered(&body), Err(error), "{}", &body[..body.len().min(200)]);
    }
}
