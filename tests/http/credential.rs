//! The credential is added on the host, in the form that the rule says, and replaces what COMMAND sends of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::site::{HOST, Site};
use crate::support::Start as _;
use crate::support::https::ruled::{Ruled, TOKEN, VARIABLE, audit};
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};

#[test]
fn a_request_gets_the_credential_on_the_host() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let answer = ruled.curl(&[&site.url("/package?v=1")]).outcome().succeeds();
    assert_eq!(answer.text(), "answer to /package?v=1");
    let asked = site.only_request();
    assert_eq!(asked.head.lines().next(), Some("GET /package?v=1 HTTP/1.1"));
    assert_eq!(asked.all("authorization"), [format!("Bearer {TOKEN}")]);
    assert_eq!(asked.all("host"), [site.origin()]);
    let (proxy, none) = (asked.header("proxy-authorization"), asked.header("proxy-connection"));
    assert_eq!((proxy, none), (None, None));
}

#[test]
fn each_kind_of_credential_is_added_in_its_form() {
    require!(CURL, MOUNT_NAMESPACE);
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{TOKEN}")));
    for (user, options, header, value) in [
        ("", "auth=bearer", "authorization", format!("Bearer {TOKEN}")),
        ("builder@", "auth=basic", "authorization", basic("builder")),
        ("", "auth=header:PRIVATE-TOKEN", "private-token", TOKEN.to_owned()),
    ] {
        let site = Site::echo();
        let ruled = Ruled::serve(&site.authority, &[&format!("{user}{},{options}", site.place(""))]);
        let own = [
            "--header",
            "Authorization: Bearer of-the-tool",
            "--header",
            "Private-Token: of-the-tool",
            "--header",
            "Cookie: kept=yes",
        ];
        ruled.curl(&[own.as_slice(), &[&site.url("/")]].concat()).outcome().succeeds();
        let asked = site.only_request();
        assert_eq!(asked.all(header), [value], "{options}");
        assert!(!asked.head.contains("Bearer of-the-tool"), "{}", asked.head);
        assert_eq!(asked.header("cookie"), Some("kept=yes"));
    }
}

#[test]
fn the_tools_own_login_goes_on_where_the_rule_keeps_it() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&format!("{},own=keep", site.place(""))]);
    let url = site.url("/");
    ruled.curl(&["--header", "Authorization: Bearer of-the-tool", &url]).outcome().succeeds();
    assert_eq!(site.only_request().all("authorization"), ["Bearer of-the-tool"]);
    ruled.curl(&[&url]).outcome().succeeds();
    let expected = format!("Bearer {TOKEN}");
    assert_eq!(site.server.requests()[1].all("authorization"), [expected]);
}

#[test]
fn a_placeholder_is_no_credential_and_is_replaced() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let script = "echo \"$T\" && curl -sS -H \"Authorization: Bearer $T\" \"$1\"";
    let url = site.url("/");
    let command = ["sh", "-c", script, "sh", url.as_str()];
    let shown = ruled.exec(&["--http-placeholder", "T"], &command).outcome().succeeds().text();
    assert!(shown.starts_with("sb-placeholder-"), "{shown}");
    assert_eq!(site.only_request().all("authorization"), [format!("Bearer {TOKEN}")]);
    // It is there only for who asks for it.
    ruled.exec(&[], &["sh", "-c", "[ -z \"$T\" ]"]).outcome().succeeds();
}

#[test]
fn the_variable_of_the_credential_is_not_in_the_environment_of_run() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let home = crate::support::Home::new();
    let options = crate::support::https::ruled::rule_options(&site.authority, &[&site.place("")]);
    let url = site.url("/");
    let script = "[ -z \"$SITE_TOKEN\" ] && secrets-bridge exec --http -- curl -sS \"$1\"";
    let mut run = home.command(["run", "--listen", "127.0.0.1:0"]);
    run.args(options).args(["--", "sh", "-c", script, "sh", &url]).env(VARIABLE, TOKEN);
    let path = std::path::Path::new(crate::support::BINARY).parent().unwrap();
    run.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()));
    let names = [(HOST, std::net::Ipv4Addr::LOCALHOST.into())];
    let run = crate::support::https::names::resolving(&home, &names, &run).outcome().succeeds();
    assert_eq!(run.text(), "answer to /");
    // The summary names the rule and what it did.
    run.says(&format!("{}: 1 request", site.origin()));
}

#[test]
fn a_request_is_recorded_before_and_after() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve_with(&site.authority, &[&site.place("/org")], &["--audit", "audit.json"], &[]);
    ruled.curl(&[&site.url("/org/a?secret=query")]).outcome().succeeds();
    ruled.curl(&[&site.url("/other")]).outcome().succeeds();
    let records = audit(&ruled.bridge.home, "audit.json");
    let text = format!("{records:?}");
    let kinds: Vec<&str> = records
        .iter()
        .filter_map(|record| record["record"].as_str())
        .filter(|event| event.starts_with("http"))
        .collect();
    assert_eq!(kinds[..2], ["http-request", "http-answered"], "{text}");
    assert!(text.contains("/org/a") && text.contains("/other"), "{text}");
    assert!(!text.contains("secret=query") && !text.contains(TOKEN), "{text}");
    assert_eq!(site.server.requests().len(), 1);
}

#[test]
fn without_rules_or_a_conf_exec_fails_unless_http_is_optional() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let bridge = crate::support::Bridge::serve(["--secret", "T=value"]);
    bridge.client(["exec", "--http", "--", "true"]).outcome().fails();
    bridge.client(["exec", "--http=optional", "--", "true"]).outcome().succeeds();
    let home = crate::support::Home::new();
    home.command(["exec", "--http", "--", "true"]).outcome().fails();
    home.command(["exec", "--http=optional", "--", "true"]).outcome().succeeds();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let url = site.url("/");
    let optional = ["exec", "--http=optional", "--", "curl", "-sS", &url];
    ruled.bridge.client(optional).outcome().succeeds().prints("answer to /");
}
