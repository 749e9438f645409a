use proptest::prelude::*;

use crate::path::hostile_path;
use crate::testing::{head, judge, origin, rules, verdict, word};
use crate::verdict::Verdict;

mod git;

#[test]
fn a_request_goes_on_to_the_server_of_the_rule() {
    let rules = rules(&["h.example"]);
    let permitted =
        judge(&rules, "GET /@org%2fname?x=1", &["Accept: */*", "X-Forwarded-Host: other"]).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&permitted.head.write()),
        "GET /@org%2fname?x=1 HTTP/1.1\r\nHost: h.example\r\nAccept: */*\r\n\r\n"
    );
}

#[test]
fn only_the_methods_of_a_rule_are_permitted() {
    let default = rules(&["h.example"]);
    let written = rules(&["h.example,methods=GET+PUT"]);
    for (request, by_default, as_written) in [
        ("GET /a", "ok", "ok"),
        ("HEAD /a", "ok", "method"),
        ("PUT /a", "method", "ok"),
        ("POST /a", "method", "method"),
        ("DELETE /a", "method", "method"),
        ("TRACE /a", "method", "method"),
        ("get /a", "method", "method"),
        ("PROPFIND /a", "method", "method"),
    ] {
        assert_eq!(word(&judge(&default, request, &[])), by_default, "{request}");
        assert_eq!(word(&judge(&written, request, &[])), as_written, "{request}");
    }
    assert_eq!(
        judge(&default, "PUT /a", &[]).unwrap_err().text,
        "PUT /a: the rule h.example permits GET and HEAD only: to permit it, write methods=GET+HEAD+PUT"
    );
}

#[test]
fn a_request_names_the_server_of_its_connection() {
    let rules = rules(&["h.example"]);
    for lines in [
        &["GET / HTTP/1.1", "Host: h.example"][..],
        &["GET / HTTP/1.1", "host: H.Example"],
        &["GET / HTTP/1.1", "Host: h.example."],
        &["GET / HTTP/1.1", "Host: h.example:443"],
        &["GET / HTTP/1.1", "Host: H.EXAMPLE.:0443"],
        &["GET / HTTP/1.0", "Host: h.example"],
        &["GET https://h.example/ HTTP/1.1", "Host: h.example:443"],
        &["GET HTTPS://H.example.:443 HTTP/1.1", "Host: h.example"],
        &["GET https://h.example:443?a HTTP/1.0"],
    ] {
        let permitted = verdict(&rules, lines).unwrap();
        assert_eq!(permitted.head.headers.all("Host").collect::<Vec<_>>(), [b"h.example"], "{lines:?}");
        assert!(matches!(permitted.head.target, http_message::Target::Path(_)));
    }
    for (lines, expected) in [
        (&["GET / HTTP/1.1"][..], "authority"),
        (&["GET / HTTP/1.0"], "authority"),
        (&["GET / HTTP/1.1", "Host:"], "authority"),
        (&["GET / HTTP/1.1", "Host: other.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example", "Host: h.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example", "hOST: other.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: other.example", "Host: h.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example, other.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example:80"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example:"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example:+443"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example:443:443"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example.."], "authority"),
        (&["GET / HTTP/1.1", "Host: .h.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: a@h.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example/"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example#"], "authority"),
        (&["GET / HTTP/1.1", "Host: h%2eexample"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example\u{3002}"], "authority"),
        (&["GET / HTTP/1.1", "Host: \u{ff48}.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: [h.example]"], "authority"),
        (&["GET / HTTP/1.1", "Host: xh.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example other"], "authority"),
        (&["GET / HTTP/1.1", "Host: https://h.example"], "authority"),
        (&["GET https://other.example/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["GET https://h.example/ HTTP/1.1", "Host: other.example"], "authority"),
        (&["GET https://h.example/ HTTP/1.1", "Host: h.example", "Host: h.example"], "authority"),
        (&["GET https://h.example:444/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["GET http://h.example/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["GET http://h.example:443/ HTTP/1.1", "Host: h.example:443"], "authority"),
        (&["GET ws://h.example/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["CONNECT h.example:443 HTTP/1.1", "Host: h.example"], "protocol"),
        (&["CONNECT other.example:443 HTTP/1.1", "Host: other.example:443"], "protocol"),
        (&["OPTIONS * HTTP/1.1", "Host: h.example"], "path"),
    ] {
        let verdict = verdict(&rules, lines);
        assert_eq!(word(&verdict), expected, "{lines:?}");
        assert_eq!(verdict.unwrap_err().status, if expected == "protocol" { 501 } else { 400 }, "{lines:?}");
    }
}

#[test]
fn an_address_and_a_port_are_compared_as_such() {
    for (place, good, bad) in [
        (
            "[2001:db8::1]:8443",
            &["[2001:db8::1]:8443", "[2001:DB8:0::1]:8443"][..],
            &["[2001:db8::1]", "2001:db8::1:8443", "[2001:db8::2]:8443"][..],
        ),
        ("h.example:8443", &["h.example:8443"], &["h.example", "h.example:443"]),
        (
            "127.0.0.1",
            &["127.0.0.1", "127.0.0.1:443"],
            &["127.1", "127.0.0.1.", "2130706433", "0x7f.0.0.1", "localhost", "[::ffff:127.0.0.1]"],
        ),
    ] {
        let rules = rules(&[place]);
        let origin = rules.get(0).unwrap().place().origin().clone();
        for (hosts, expected) in [(good, true), (bad, false)] {
            for host in hosts {
                let verdict = rules.judge(&origin, &head(&["GET / HTTP/1.1", &format!("Host: {host}")]));
                assert_eq!(matches!(verdict, Verdict::Forward(_)), expected, "{host} for {place}");
            }
        }
    }
}

#[test]
fn a_rule_is_for_its_origin_only() {
    let rules = rules(&["h.example/a", "other.example/b,methods=PUT"]);
    for (other, request) in
        [("h.example:444", "GET /a"), ("other.example:443", "GET /a"), ("new.example:443", "GET /a")]
    {
        let origin = origin(other);
        let lines = [format!("{request} HTTP/1.1"), format!("Host: {other}")];
        let Verdict::Refuse(refusal) = rules.judge(&origin, &head(&[&lines[0], &lines[1]])) else {
            panic!("{other} {request}");
        };
        assert_eq!(refusal.reason, "no-rule");
    }
}

#[test]
fn other_protocols_are_refused_with_501() {
    let rules = rules(&["h.example,methods=GET+POST"]);
    for (request, fields) in [
        ("GET /", &["Upgrade: websocket", "Connection: Upgrade"][..]),
        ("GET /", &["upgrade: h2c"]),
        ("GET /", &["Upgrade:"]),
        ("GET /", &["Connection: keep-alive", "UPGRADE: TLS/1.0"]),
        ("POST /a", &["Content-Type: application/grpc"]),
        ("POST /a", &["content-type: Application/gRPC-web+proto"]),
    ] {
        let refusal = judge(&rules, request, fields).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (501, "protocol"), "{request} {fields:?}");
    }
    let one = judge(&rules, "GET /", &["Expect: 200-ok"]).unwrap_err();
    assert_eq!((one.status, one.reason), (417, "header"));
}

#[test]
fn ambiguous_bodies_are_refused() {
    let rules = rules(&["h.example,methods=GET+HEAD+POST+DELETE"]);
    for (request, fields, status) in [
        ("POST /", &["Content-Length: 1", "Transfer-Encoding: chunked"][..], 400),
        ("POST /", &["Content-Length: 1", "Content-Length: 1"], 400),
        ("POST /", &["Content-Length: 1, 1"], 400),
        ("POST /", &["Content-Length: +1"], 400),
        ("POST /", &["Transfer-Encoding: gzip, chunked"], 400),
        ("POST /", &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], 400),
        // Some servers take it for the next request.
        ("GET /", &["Content-Length: 1"], 400),
        ("GET /", &["Transfer-Encoding: chunked"], 400),
        ("HEAD /", &["Content-Length: 44"], 400),
    ] {
        let refusal = judge(&rules, request, fields).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (status, "framing"), "{request} {fields:?}");
    }
    for (request, fields) in [
        ("GET /", "Content-Length: 0"),
        ("POST /", "Content-Length: 1"),
        ("DELETE /", "Transfer-Encoding: Chunked"),
    ] {
        assert_eq!(word(&judge(&rules, request, &[fields])), "ok", "{request} {fields}");
    }
}

#[test]
fn a_parameter_that_names_a_method_is_refused() {
    let rules = rules(&["h.example,methods=POST"]);
    for query in [
        "_method=DELETE",
        "a=b&_method=PUT",
        "a;_method=PUT",
        "%5fmethod=PUT",
        "_METHOD=put",
        "_method",
        "x-http-method-override=PUT",
        "$httpMethod=PATCH",
        "%24httpMethod=PATCH",
        "+_method=PUT",
    ] {
        assert_eq!(word(&judge(&rules, &format!("POST /a?{query}"), &[])), "method", "{query}");
    }
    for query in ["", "method=a", "q=_method", "a=%5fmethod"] {
        assert_eq!(word(&judge(&rules, &format!("POST /a?{query}"), &[])), "ok", "{query}");
    }
}

#[test]
fn a_refusal_counts_for_the_rule_that_is_meant() {
    let one = rules(&["h.example/org"]);
    let two = rules(&["h.example/org", "h.example"]);
    for (request, by_one, by_two) in [
        ("PUT /org/a", Some(0), Some(0)),
        ("PUT /a", Some(0), Some(1)),
        ("GET /a", Some(0), None),
        ("GET /org//a", Some(0), None),
        ("GET /Org/a", Some(0), Some(0)),
    ] {
        let rule = |rules| {
            judge(rules, request, &[])
                .map_or_else(|refusal| refusal.rule, |permitted| (permitted.rule != 1).then_some(9))
        };
        assert_eq!(rule(&one), by_one, "{request}");
        assert_eq!(rule(&two), by_two, "{request}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn what_goes_on_is_judged_as_the_same(
        method in "GET|HEAD|POST|PUT|TRACE",
        path in hostile_path(),
        absolute in any::<bool>(),
        fields in proptest::collection::vec(
            proptest::sample::select(&[
                "Connection: close, X-A", "X-A: b", "Content-Length: 3", "Transfer-Encoding: chunked", "Authorization: Bearer x",
                "X_Forwarded-Host: o", "Expect: 100-continue", "Content_Length: 9", "Cookie: a", "Host: h.example:443", "Content-Type: application/x-git-upload-pack-request", "TE: trailers",
            ][..]),
            0..6,
        ),
    ) {
        let rules = rules(&["h.example/org,methods=GET+POST,git,lfs", "h.example/org/repo/secret,methods=GET", "h.example,methods=PUT+HEAD"]);
        let target = if absolute { format!("https://h.example{path}") } else { path };
        let first = format!("{method} {target} HTTP/1.1");
        let text = format!("{}\r\n\r\n", [&[first.as_str()], &*fields].concat().join("\r\n"));
        let Ok(Some((request, _))) = http_message::RequestHead::parse(text.as_bytes()) else { return Ok(()) };
        let origin = origin("h.example:443");
        if let Verdict::Forward(permitted) = rules.judge(&origin, &request) {
            let written = permitted.head.write();
            let (again, length) = http_message::RequestHead::parse(&written).unwrap().unwrap();
            prop_assert_eq!(length, written.len());
            let Verdict::Forward(other) = rules.judge(&origin, &again) else {
                return Err(TestCaseError::fail(String::from_utf8_lossy(&written).into_owned()));
            };
            prop_assert_eq!((other.rule, &other.head, other.body), (permitted.rule, &permitted.head, permitted.body));
            prop_assert_eq!(permitted.head.body(), request.body());
        }
    }
}
