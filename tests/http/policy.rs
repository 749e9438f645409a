//! What a rule does not permit never reaches the server, and the build learns why.

use super::site::Site;
use crate::support::Start as _;
use crate::support::https::ruled::{Ruled, TOKEN};
use crate::support::https::scripted::{Scripted, Then};
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};

#[test]
fn another_path_is_refused_however_it_is_written() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("/org")]);
    let step = ruled.step();
    for path in ["/org", "/org/", "/org/a", "/org/@scope%2fname", "/org/a%20b", "/org/a?b=/../c"] {
        let answer = step.asks(&site.origin(), site.get(path, ""));
        assert_eq!((answer.status(), answer.text()), (200, format!("answer to {path}")), "{path}");
    }
    let permitted = site.server.requests().len();
    for path in [
        "/",
        "/orgs",
        "/org2/a",
        "/other/a",
        "/ORG/a",
        "/Org",
        "/org/../other",
        "/org/..",
        "/org/.",
        "/org/./a",
        "/org/%2e%2e/other",
        "/org/.%2E/other",
        "/org/%2e%2e%2fother",
        "/org/..%2fother",
        "/org/..;/other",
        "/org/..;x=1/other",
        "/org/.;/a",
        "/org/%252e%252e/other",
        "/org/a%25b",
        "/org/..%5cother",
        "/org/..\\other",
        "/org%5c..%5cother",
        "/org//a",
        "//org/a",
        "/%2forg/a",
        "/org/a%00",
        "/org/a%0d%0aX:%20y",
        "/org/a%ff",
        "/org/a%c0%af",
        "/org/a%",
        "/org/a%2",
        "/org/a%zz",
        "/org/a%3fb",
        "/org/a%23b",
        "/org/..%20/other",
        "/org/.%2e./other",
        "/org/a./b",
        "/org/a%20/b",
        "/org/a#b",
        "/x/../org/a",
        "/%6frgs/a",
        "org/a",
        "*",
    ] {
        let answer = step.asks(&site.origin(), site.get(path, ""));
        assert!(matches!(answer.status(), 400 | 403), "{path}: {answer:?}");
    }
    assert_eq!(site.server.requests().len(), permitted, "{:#?}", site.server.requests());
}

#[test]
fn other_methods_are_refused_with_the_remedy() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X"] {
        let url = site.url("/a");
        let answer =
            ruled.curl(&["--request", method, "--write-out", " %{http_code}", &url]).outcome().succeeds();
        assert!(answer.text().ends_with(" 403") || answer.text().ends_with(" 400"), "{method}: {answer:?}");
        if method == "POST" {
            let text = answer.text();
            for word in [site.origin().as_str(), "POST", "methods=", "secrets-bridge"] {
                assert!(text.contains(word), "no {word} in {text}");
            }
            // The text is on both sides, once for a rule.
            answer.says("POST");
            ruled.bridge.process.says("POST");
        }
    }
    assert_eq!(site.server.requests().len(), 0);
    let more = Ruled::serve(&site.authority, &[&format!("{},methods=GET+POST", site.place(""))]);
    more.curl(&["--data", "a body", &site.url("/a")]).outcome().succeeds().prints("answer to /a");
    let head = more.curl(&["--head", "--write-out", "%{http_code}", &site.url("/a")]).outcome().succeeds();
    assert!(head.text().ends_with("403"), "{head:?}");
}

#[test]
fn another_host_port_or_scheme_gets_no_credential() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let other = Scripted::start(&site.authority, &["127.0.0.1", "localhost"], |asked, connection| {
        connection.answer("200 OK", "", format!("direct {}", asked.target()))?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    // Another port of this machine: straight from the build, with what COMMAND sends and nothing more.
    let step = ruled.step();
    let (mut tcp, head) = step.connect(&format!("127.0.0.1:{}", other.port()));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(tcp.set_read_timeout(None));
    std::io::Write::write_all(&mut tcp, b"not TLS").unwrap();
    drop(tcp);
    let url = format!("https://127.0.0.1:{}/a", other.port());
    let ca = site.authority.file();
    let direct = ruled.curl(&["--cacert", ca.to_str().unwrap(), &url]);
    { direct }.outcome().succeeds().prints("direct /a");
    assert!(other.requests().iter().all(|asked| asked.header("authorization").is_none()));
    // A name that has no rule is looked up in the build, where it does not exist.
    let unknown = format!("other.example:{}", site.server.port());
    let (_, head) = step.connect(&unknown);
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    // Plain HTTP to the host of a rule.
    let url = format!("http://{}/a", site.origin());
    let proxy = format!("http://{}@{}", step.login, step.address);
    let plain = ruled.curl(&["--proxy", &proxy, "--write-out", " %{http_code}", &url]).outcome();
    assert!(plain.succeeds().text().ends_with(" 403"));
    assert_eq!(site.server.requests().len(), 0);
}

#[test]
fn the_host_is_always_that_of_the_rule() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let (origin, port) = (site.origin(), site.server.port());
    for host in [
        "Host: other.example\r\n".to_owned(),
        format!("Host: other.example:{port}\r\n"),
        format!("Host: {origin}\r\nHost: {origin}\r\n"),
        format!("Host: {origin}\r\nHost: other.example\r\n"),
        format!("Host: {origin}, other.example\r\n"),
        format!("Host: x@{origin}\r\n"),
        "Host: site.example\r\n".to_owned(),
        "Host: site.example:443\r\n".to_owned(),
        "Host:\r\n".to_owned(),
        String::new(),
        format!("Host : {origin}\r\n"),
        format!(" Host: {origin}\r\n"),
    ] {
        let answer = step.asks(&origin, format!("GET /a HTTP/1.1\r\n{host}\r\n"));
        assert_eq!(answer.status(), 400, "{host}: {answer:?}");
    }
    for target in [
        format!("https://other.example:{port}/a"),
        "https://other.example/a".to_owned(),
        format!("http://{origin}/a"),
        format!("https://x@{origin}/a"),
        format!("https://{origin}.other.example/a"),
    ] {
        let answer = step.asks(&origin, format!("GET {target} HTTP/1.1\r\nHost: {origin}\r\n\r\n"));
        assert!(matches!(answer.status(), 400 | 403), "{target}: {answer:?}");
    }
    assert_eq!(site.server.requests().len(), 0);
    let shouted = format!("GET https://{origin}/b HTTP/1.1\r\nHost: SITE.EXAMPLE.:{port}\r\n\r\n");
    assert_eq!(step.asks(&origin, shouted).status(), 200);
    assert_eq!(site.only_request().all("host"), [origin]);
}

#[test]
fn headers_that_change_host_path_or_method_are_dropped() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("/org")]);
    let step = ruled.step();
    let dropped = [
        "Forwarded: host=other.example",
        "X-Forwarded-Host: other.example",
        "x-forwarded-proto: http",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Prefix: /other",
        "X-Original-URL: /other",
        "X-Original-Host: other.example",
        "X-Rewrite-URL: /other",
        "X-HTTP-Method: DELETE",
        "X-HTTP-Method-Override: DELETE",
        "X-Method-Override: DELETE",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "X-Named-By-Connection: gone",
    ];
    let lines = dropped.map(|line| format!("{line}\r\n")).concat();
    let more = "Connection: x-named-by-connection, authorization\r\nX-Kept: yes\r\nCookie: a=b\r\n";
    let answer = step.asks(&site.origin(), site.get("/org/a", &format!("{lines}{more}")));
    assert_eq!(answer.status(), 200, "{answer:?}");
    let asked = site.only_request();
    for line in dropped {
        let name = line.split(':').next().unwrap();
        assert_eq!(asked.all(name), Vec::<&str>::new(), "{}", asked.head);
    }
    assert_eq!(asked.all("x-kept"), ["yes"]);
    assert_eq!(asked.all("cookie"), ["a=b"]);
    // Connection cannot take the credential away.
    assert_eq!(asked.all("authorization"), [format!("Bearer {TOKEN}")]);
}

#[test]
fn the_longest_rule_decides_and_its_spellings_match_no_other() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let (all, private) = (site.place(""), format!("{},methods=HEAD", site.place("/org/private")));
    let ruled = Ruled::serve(&site.authority, &[&all, &private]);
    let step = ruled.step();
    let status = |path: &str| step.asks(&site.origin(), site.get(path, "")).status();
    assert_eq!(status("/org/public"), 200);
    for path in ["/org/private", "/org/private/a", "/ORG/private", "/org/Private/a", "/org/private.git"] {
        assert_eq!(status(path), 403, "{path}");
    }
    assert_eq!(site.server.requests().len(), 1);
}

#[test]
fn upgrades_are_not_supported() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = step.asks(&site.origin(), site.get("/a", websocket));
    assert_eq!(answer.status(), 501, "{answer:?}");
    let answer = step.asks(&site.origin(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(matches!(answer.status(), 400 | 501 | 505), "{answer:?}");
    let connect = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", site.origin());
    assert!(matches!(step.asks(&site.origin(), connect).status(), 400 | 403 | 501));
    assert_eq!(site.server.requests().len(), 0);
}
