//! Rules for HTTP requests: as text, as verdicts on requests, and what they do with answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_message::{AnswerHead, RequestHead, Target};
use http_policy::{Answered, Echo, Git, MAX_REFUSAL, RequestKind, Rule, RulePlace, Rules, Verdict, lfs};
use proto::Secret;

use crate::checks::{Input, MAX_ERROR, assert_shown};

const TOKEN: &str = "tok_>?4711_secret";

fn rule(text: &str) -> Rule {
    let mut parts = text.split(',');
    let mut rule = Rule::new(parts.next().unwrap().parse().unwrap());
    for option in parts {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        assert!(rule.option(name, value).unwrap());
    }
    rule
}

fn rules(texts: &[&str]) -> Rules {
    Rules::new(texts.iter().map(|text| rule(text)).collect()).unwrap()
}

/// A rule as it is written: the place, and an option on each line that follows.
pub fn http_rule(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let place = match lines.next().unwrap_or_default().parse::<RulePlace>() {
        Ok(place) => place,
        Err(error) => return assert_shown(&error.to_string(), MAX_ERROR),
    };
    let shown = place.to_string();
    assert_shown(&shown, 4096);
    let again: RulePlace = shown.parse().unwrap();
    assert_eq!((again.origin(), again.path(), again.to_string()), (place.origin(), place.path(), shown));
    let mut rule = Rule::new(place);
    for line in lines {
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if let Err(error) = rule.option(name, value) {
            assert_shown(&error.to_string(), MAX_ERROR);
        }
    }
    assert!(!rule.auth().header().eq_ignore_ascii_case("Host"));
    match Rules::new(vec![rule.clone()]) {
        Ok(rules) => assert_eq!(rules.origins().len(), 1),
        Err(error) => assert_shown(&error.to_string(), MAX_ERROR),
    }
    assert!(Rules::new(vec![rule.clone(), rule]).is_err(), "two rules for the same paths");
}

pub(crate) fn rule_seeds() -> Vec<Vec<u8>> {
    [
        "user@H.example.:8443/@org%2fa/b%20c/\nauth=basic\nmethods=GET+POST",
        "[2001:db8::1]:443\nauth=header:Private-Token\nown=keep\nplain=pass",
        "git.example/org/repo.git\ngit+push\nlfs",
        "127.0.0.1:80/a/../b\nscheme=http",
        "b\u{fc}cher.example",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A request to an origin with rules.
pub fn http_judge(data: &[u8]) {
    let Ok(Some((request, _))) = RequestHead::parse(data) else { return };
    let rules = rules(&[
        "h.example/org,methods=GET+POST",
        "h.example/org/secret,methods=GET",
        "h.example/git,git,lfs",
        "h.example,methods=PUT",
    ]);
    let origin = "h.example:443".parse().unwrap();
    let permitted = match rules.judge(&origin, &request) {
        Verdict::Forward(permitted) => permitted,
        Verdict::Refuse(refusal) => {
            assert_shown(&refusal.text, 10 * MAX_REFUSAL);
            assert!(refusal.text.chars().count() <= MAX_REFUSAL && (400..=599).contains(&refusal.status));
            return;
        }
    };
    let rule = rules.get(permitted.rule).unwrap();
    let head = &permitted.head;
    // The server is the rule's.
    assert_eq!(head.headers.all("Host").collect::<Vec<_>>(), [b"h.example"]);
    let Target::Path(target) = &head.target else { panic!("{:?}", head.target) };
    assert_eq!(head.method, request.method);
    let method = head.method.parse().unwrap();
    match (rule.git, permitted.body) {
        (Git::None, RequestKind::Plain) => assert!(rule.methods().contains(&method)),
        (Git::None, RequestKind::LfsBatch) => panic!("no rule for git"),
        (Git::Fetch | Git::Push, _) => {
            let path = target.to_lowercase();
            let is_push = path.ends_with("/git-receive-pack") || path.ends_with("service=git-receive-pack");
            assert!(!is_push && ["upload-pack", "lfs"].iter().any(|word| path.contains(word)));
            assert_eq!(permitted.body == RequestKind::LfsBatch, path.ends_with("/objects/batch"));
        }
    }
    // However a server reads the path, it is in the rule and in no longer one.
    for params in [false, true] {
        for decodes in 1..4 {
            let read = lenient(target, decodes, params);
            let place = rule.place().path().to_string();
            let is_below = |path: &str| {
                read.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            assert!(is_below(&place), "{target} is {read}");
            let longer = ["/org", "/git", "/org/secret"].iter().filter(|path| path.len() > place.len());
            assert!(!longer.clone().any(|path| is_below(path)), "{target} is {read}");
        }
    }
    for field in head.headers.iter() {
        let name = field.name.to_ascii_lowercase().replace('_', "-");
        let dropped =
            ["connection", "te", "upgrade", "expect", "authorization", "forwarded", "proxy-authorization"];
        assert!(
            !dropped.contains(&name.as_str())
                && !name.starts_with("x-forwarded")
                && !name.contains("method-override")
        );
        let is_framing = ["content-length", "transfer-encoding"].contains(&name.as_str());
        assert!(!is_framing || !field.name.contains('_'));
    }
    // What goes on is judged as the same.
    let (again, _) = RequestHead::parse(&head.write()).unwrap().unwrap();
    assert_eq!(again.body(), request.body());
    let Verdict::Forward(other) = rules.judge(&origin, &again) else { panic!("{target}") };
    assert_eq!((other.rule, other.body, &other.head), (permitted.rule, permitted.body, head));
    // The credential is the only one.
    let mut authorized = permitted.head;
    assert_eq!(rule.authorize(&mut authorized, &Secret::from(TOKEN.to_owned())), Ok(true));
    assert_eq!(authorized.headers.all(rule.auth().header()).count(), 1);
}

/// A path as a lenient server reads it, in lower case.
fn lenient(target: &str, decodes: usize, params: bool) -> String {
    let mut path = target.split('?').next().unwrap().as_bytes().to_vec();
    for _ in 0..decodes {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < path.len() {
            let code = path.get(at + 1..at + 3).and_then(|code| str::from_utf8(code).ok());
            match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| path[at] == b'%') {
                Some(byte) => decoded.push(byte),
                None => decoded.push(path[at]),
            }
            at += if path[at] == b'%' && code.is_some_and(|code| u8::from_str_radix(code, 16).is_ok()) {
                3
            } else {
                1
            };
        }
        path = decoded;
    }
    let text = String::from_utf8_lossy(&path).replace('\\', "/").to_uppercase().to_lowercase();
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split(['\0', '#']).next().unwrap().split('/') {
        let segment = if params { segment.split(';').next().unwrap() } else { segment };
        match segment.trim().trim_end_matches(' ') {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other.strip_suffix(".git").unwrap_or(other)),
        }
    }
    kept.iter().map(|segment| format!("/{segment}")).collect()
}

pub(crate) fn judge_seeds() -> Vec<Vec<u8>> {
    [
        "GET /org/a%2fb?c HTTP/1.1\r\nHost: h.example\r\nAuthorization: a\r\nConnection: X-A\r\nX-A: b\r\n\r\n",
        "POST https://h.example:443/org/a;b HTTP/1.1\r\nHost: H.Example.\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        "GET /org/Secret/a HTTP/1.1\r\nHost: h.example\r\nX_Forwarded_Host: a\r\n\r\n",
        "GET /org/secret/a HTTP/1.1\r\nHost: h.example\r\nX-HTTP-Method-Override: a\r\n\r\n",
        "PUT /%6frg%2f..%5c%2e%2e/;a HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /other/b HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /git/repo/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: h.example\r\n\r\n",
        "POST /git/repo/git-upload-pack HTTP/1.1\r\nHost: h.example\r\nContent-Type: application/x-git-upload-pack-request\r\n\r\n",
        "POST /git/repo.git/info/lfs/objects/batch HTTP/1.1\r\nHost: h.example\r\nAccept-Encoding: gzip\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A batch request of git LFS, and an answer to one.
pub fn http_lfs(data: &[u8]) {
    let rules = rules(&["h.example/org,git,lfs", "push.example,git+push,lfs"]);
    let (fetch, push) = (rules.get(0).unwrap(), rules.get(1).unwrap());
    let parse = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    if let Ok(body) = lfs::request(fetch, data) {
        let (read, written) = (parse(data), parse(&body));
        assert!(read["operation"] == "download" && written["operation"] == "download");
        assert_eq!((&read["objects"], &read["ref"]["name"]), (&written["objects"], &written["ref"]["name"]));
        assert_eq!(lfs::request(fetch, &body).as_ref(), Ok(&body));
        assert!(lfs::request(push, data).is_ok());
    }
    let echo = Echo::new(fetch, &Secret::from(TOKEN.to_owned())).unwrap();
    if let Ok(body) = lfs::answer(&rules, &echo, data) {
        assert!(!echo.is_in(&body));
        assert_eq!(lfs::answer(&rules, &echo, &body).as_ref(), Ok(&body));
        for object in parse(&body)["objects"].as_array().unwrap() {
            for action in object["actions"].as_object().into_iter().flat_map(|actions| actions.values()) {
                let href = action["href"].as_str().unwrap().to_ascii_lowercase();
                // A second reading, of the ordinary forms.
                let is_ruled = ["https://h.example/", "https://h.example:443/", "https://push.example/"];
                if is_ruled.iter().any(|origin| href.starts_with(origin)) {
                    assert!(action.get("header").is_none());
                }
            }
        }
    }
}

pub(crate) fn lfs_seeds() -> Vec<Vec<u8>> {
    let oid = "0123456789abcdef".repeat(4);
    let basic = STANDARD.encode(format!("x-access-token:{TOKEN}"));
    vec![
        format!(
            r#"{{"operation":"download","transfers":["basic","ssh"],"ref":{{"name":"refs/heads/main"}},"objects":[{{"oid":"{oid}","size":1}}],"hash_algo":"sha256"}}"#
        )
        .into_bytes(),
        br#"{"operation":"upload","objects":[]}"#.to_vec(),
        format!(
            r#"{{"transfer":"basic","objects":[{{"oid":"{oid}","size":1,"authenticated":true,"actions":{{"download":{{"href":"https://h.example/org/a","header":{{"Authorization":"Basic {basic}"}},"expires_in":60}}}}}}]}}"#
        )
        .into_bytes(),
        format!(
            r#"{{"objects":[{{"oid":"{oid}","size":1,"actions":{{"download":{{"href":"https://o.example:444/a?b","header":{{"Authorization":"a"}}}}}},"error":{{"code":404,"message":"{TOKEN}"}}}}]}}"#
        )
        .into_bytes(),
    ]
}

/// An answer that has the credential, in any pieces.
pub fn http_echo(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.byte()).max(1);
    let rule = rule("h.example");
    let echo = Echo::new(&rule, &Secret::from(TOKEN.to_owned())).unwrap();
    let text = input.rest();
    let (mut body, mut out) = (echo.fresh(), Vec::new());
    for piece in text.chunks(size) {
        out.extend_from_slice(&body.overwrite(piece));
    }
    out.extend(body.finish());
    assert!(!echo.is_in(&out) && out.len() == text.len());
    assert_eq!(echo.is_in(text), out != text, "only the credential is overwritten");
    assert!(out.iter().zip(text).all(|(out, byte)| out == byte || *out == b'*'));
    if let Ok(Some((head, _))) = AnswerHead::parse(text) {
        let status = head.status;
        match rule.answer(head, &echo) {
            Answered::Forward { head, signed_url, .. } => {
                assert!(!matches!(status, 101 | 401 | 407));
                assert!(
                    !echo.is_in(&head.write())
                        && signed_url.is_none_or(|url| !echo.is_in(&url) && url.contains(&b'?'))
                );
                for name in [
                    "Set-Cookie",
                    "Set-Cookie2",
                    "Alt-Svc",
                    "Connection",
                    "Transfer-Encoding",
                    "Trailer",
                    "Upgrade",
                ] {
                    assert!(!head.headers.contains(name));
                }
                assert!(AnswerHead::parse(&head.write()).unwrap().is_some());
            }
            Answered::Refuse { text, .. } => {
                assert!(matches!(status, 101 | 401 | 407));
                assert_shown(&text, 10 * MAX_REFUSAL);
            }
        }
    }
}

pub(crate) fn echo_seeds() -> Vec<Vec<u8>> {
    let (one, two) = (STANDARD.encode(TOKEN), STANDARD.encode(format!("u:{TOKEN}")));
    vec![
        format!("\x03a{TOKEN}b{TOKEN}{TOKEN}").into_bytes(),
        format!("\x07{{\"a\":\"{one}\",\"b\":\"{two}\"}}tok_>?47").into_bytes(),
        format!("\x14HTTP/1.1 302 {TOKEN}\r\nSet-Cookie: a\r\nLocation: /?{one}\r\nX-{TOKEN}: Basic {two}\r\nConnection: x\r\n\r\n").into_bytes(),
        b"\x14HTTP/1.1 401 no\r\n\r\n".to_vec(),
    ]
}
