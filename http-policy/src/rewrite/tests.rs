use http_message::Header;

use crate::testing::{judge, rules};

/// Names and values of what goes on, without Host.
fn forwarded(rule: &str, request: &str, fields: &[&str]) -> Vec<String> {
    let permitted = judge(&rules(&[rule]), request, fields).unwrap();
    let show = |Header { name, value }: &Header| format!("{name}: {}", String::from_utf8_lossy(value));
    permitted.head.headers.iter().map(show).filter(|field| !field.starts_with("Host")).collect()
}

const NONE: &[String] = &[];

#[test]
fn path_and_query_go_on_as_they_came() {
    for target in ["/@org%2fname?a=%2e%2e/&b=c?d", "/%61//b", "/a?", "/", "/?a\"{|}", "/é/%c3%a9"] {
        let permitted = judge(&rules(&["h.example"]), &format!("GET {target}"), &[]).unwrap();
        assert_eq!(permitted.head.target.to_string(), target);
    }
}

#[test]
fn fields_of_the_connection_do_not_go_on() {
    for field in [
        "Connection: close",
        "Keep-Alive: 5",
        "Proxy-Connection: a",
        "Proxy-Authorization: Basic c2I6",
        "Proxy: http://evil",
        "TE: trailers",
        "Trailer: X",
        "X-Forwarded-Host: o",
        "x_forwarded_host: o",
        "Forwarded: host=o",
        "X-HTTP-Method-Override: PUT",
        "X.Original.Url: /b",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Transfer.Encoding: chunked",
        "Content-Length: 0",
    ] {
        let expected = if field == "Content-Length: 0" { &[field.to_owned()][..] } else { NONE };
        assert_eq!(forwarded("h.example", "GET /", &[field]), expected, "{field}");
    }
}

#[test]
fn what_connection_names_does_not_go_on() {
    let fields =
        ["X-A: 1", "X_B: 2", "Connection: x-a ,X-B,", "Accept: */*", "Connection: accept", "User-Agent: u"];
    assert_eq!(forwarded("h.example", "GET /", &fields), ["User-Agent: u"]);
    // What is written anew cannot be taken away: neither the host nor the framing.
    let fields = ["Connection: Host, Content-Length, Authorization, Transfer-Encoding", "Content-Length: 3"];
    let permitted = judge(&rules(&["h.example,methods=POST"]), "POST /", &fields).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&permitted.head.write()),
        "POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 3\r\n\r\n"
    );
}

#[test]
fn framing_is_written_anew() {
    let rule = "h.example,methods=POST";
    assert_eq!(forwarded(rule, "POST /", &["content-LENGTH:   12"]), ["Content-Length: 12"]);
    assert_eq!(forwarded(rule, "POST /", &["transfer-encoding: CHUNKED"]), ["Transfer-Encoding: chunked"]);
    assert_eq!(forwarded(rule, "POST /", &[]), NONE);
}

#[test]
fn the_credential_of_the_tool_goes_only_where_it_may() {
    let fields = [
        "Authorization: Bearer ${NPM_TOKEN}",
        "authorization: x",
        "Private-Token: y",
        "Private_Token: z",
        "Cookie: c",
    ];
    assert_eq!(
        forwarded("h.example", "GET /", &fields),
        ["Private-Token: y", "Private_Token: z", "Cookie: c"]
    );
    assert_eq!(forwarded("h.example,auth=header:Private-Token", "GET /", &fields), ["Cookie: c"]);
    assert_eq!(forwarded("h.example,own=keep", "GET /", &fields), fields);
    assert_eq!(forwarded("h.example,own=keep,auth=header:Private-Token", "GET /", &fields), fields);
}

#[test]
fn a_wait_for_100_is_told_apart() {
    let rules = rules(&["h.example,methods=PUT"]);
    let fields = ["Expect: 100-Continue", "Content-Length: 5"];
    let permitted = judge(&rules, "PUT /", &fields).unwrap();
    assert!(permitted.expects_continue && !permitted.head.headers.contains("Expect"));
    assert!(!judge(&rules, "PUT /", &fields[..1]).unwrap().expects_continue);
    assert!(!judge(&rules, "PUT /", &fields[1..]).unwrap().expects_continue);
}

#[test]
fn headers_that_name_another_resource_are_refused() {
    let rules = rules(&["h.example/a,methods=PUT"]);
    for field in [
        "Destination: /b",
        "X-Amz-Copy-Source: /b",
        "x_amz_copy_source: /b",
        "X-Copy-From: b",
        "X-Ms-Copy-Source: b",
    ] {
        let refusal = judge(&rules, "PUT /a/c", &[field]).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (403, "header"), "{field}");
    }
}
