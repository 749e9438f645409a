use crate::testing::{judge, rules, verdict, word};

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
    for (lines, expected) in [
        (&["GET / HTTP/1.1", "Host: h.example"][..], "ok"),
        (&["GET / HTTP/1.1", "Host: H.Example.:443"], "ok"),
        (&["GET https://h.example/ HTTP/1.1", "Host: h.example"], "ok"),
        (&["GET https://h.example:443 HTTP/1.0"], "ok"),
        (&["GET / HTTP/1.1"], "authority"),
        (&["GET / HTTP/1.1", "Host: other.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example", "Host: h.example"], "authority"),
        (&["GET / HTTP/1.1", "Host: h.example:80"], "authority"),
        (&["GET https://other.example/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["GET https://h.example/ HTTP/1.1", "Host: other.example"], "authority"),
        (&["GET http://h.example/ HTTP/1.1", "Host: h.example"], "authority"),
        (&["CONNECT h.example:443 HTTP/1.1", "Host: h.example"], "protocol"),
        (&["OPTIONS * HTTP/1.1", "Host: h.example"], "path"),
    ] {
        assert_eq!(word(&verdict(&rules, lines)), expected, "{lines:?}");
    }
}
