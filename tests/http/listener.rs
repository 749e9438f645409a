//! Who may use the proxy and the mirrors of a build: COMMAND and what it starts, and whoever has the password.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use super::site::Site;
use crate::support::Start as _;
use crate::support::https::ruled::Ruled;
use crate::support::require::{CURL, MOUNT_NAMESPACE, OTHER_USERS, ROOT, require};

#[test]
fn a_stranger_on_the_same_loopback_is_refused() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let origin = site.origin();
    for headers in ["", "Proxy-Authorization: Basic c2I6d3Jvbmc=\r\n", "Proxy-Authorization: Bearer x\r\n"] {
        // The test is no descendant of this `exec`.
        let (_, answer) = step.connect_with(&origin, headers);
        assert!(answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 407"), "{answer}");
    }
    assert_eq!(step.asks(&origin, site.get("/a", "")).status(), 200);
    assert_eq!(site.server.requests().len(), 1);
}

#[test]
fn another_user_of_the_machine_is_refused() {
    require!(CURL, MOUNT_NAMESPACE, ROOT, OTHER_USERS);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let url = site.url("/a");
    let proxy = format!("http://{}", step.address);
    let mut other = ruled.bridge.home.program("setpriv", ["--reuid", "65534", "--regid", "65534"]);
    other.args(["--clear-groups", "curl", "-sS", "--insecure", "--proxy", &proxy, &url]).current_dir("/");
    let outcome = other.outcome();
    let refused = ["403", "407"].iter().any(|status| outcome.stderr.contains(status));
    assert!(outcome.code() != Some(0) && refused, "{outcome:?}");
    assert_eq!(site.server.requests().len(), 0);
}

#[test]
fn a_descendant_needs_no_password() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    // A JVM cannot send it. The second one is an orphan by then, which `exec` has inherited.
    let script = "proxy=http://${https_proxy#*@}; curl -sS --proxy \"$proxy\" \"$1\"; echo; \
                  (sh -c 'sleep 0.2; curl -sS --proxy \"$0\" \"$1\" > orphan; echo done > end' \"$proxy\" \"$1\" &) ; \
                  until [ -e end ]; do sleep 0.05; done; cat orphan";
    let url = site.url("/a");
    let outcome = ruled.exec(&[], &["sh", "-c", script, "sh", url.as_str()]).outcome().succeeds();
    outcome.prints("answer to /a\nanswer to /a");
}

#[test]
fn a_mirror_serves_plain_http_to_its_command_only() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("/org")]);
    let listen = format!("{}=BASE", site.origin());
    let script = "echo \"$BASE\"; read -r end; curl -sS \"$BASE/org/a?b=c\"; echo; \
                  curl -sS -o /dev/null -w '%{http_code} ' \"$BASE/other\"; \
                  for header in 'Origin: http://evil.example' 'Origin: null' 'Sec-Fetch-Site: cross-site' \
                  'Host: evil.example' 'Host: site.example'; \
                  do curl -sS -o /dev/null -w '%{http_code} ' -H \"$header\" \"$BASE/org/a\"; done";
    let mut exec = ruled.exec(&["--http-listen", &listen], &["sh", "-c", script]);
    let mut process = exec.stdin(Stdio::piped()).start();
    let base = process.prints_line();
    let address = base.trim_end_matches('/').strip_prefix("http://").unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{base}");
    // The test is no descendant of this `exec`, and a page in a browser is not either.
    let mut tcp = TcpStream::connect(&address).unwrap();
    tcp.write_all(format!("GET /org/a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(site.server.requests().len(), 0);
    drop(process.stdin.take());
    let text = process.ends().succeeds().text();
    let mut lines = text.lines().skip(1);
    assert_eq!(lines.next(), Some("answer to /org/a?b=c"));
    let codes: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(codes.len(), 6, "{text}");
    assert!(codes.iter().all(|code| ["400", "403", "421"].contains(code)), "{codes:?}");
    assert_eq!(site.only_request().all("host"), [site.origin()]);
}
