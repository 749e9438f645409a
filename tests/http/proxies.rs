//! Proxies of the networks around a build: one before the host, one before the build, and those of the builder.

use std::net::Ipv4Addr;

use super::site::{HOST, Site};
use crate::support::Start as _;
use crate::support::https::authority::Authority;
use crate::support::https::corporate_proxy::CorporateProxy;
use crate::support::https::ruled::{Ruled, TOKEN, VARIABLE, rule_options};
use crate::support::https::scripted::{Scripted, Then};
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};
use crate::support::{Bridge, Home};

#[test]
fn the_host_reaches_servers_through_its_own_proxy() {
    require!(CURL);
    let site = Site::echo();
    let names = [(HOST, Ipv4Addr::LOCALHOST.into())];
    for login in [None, Some("user:p%40ss".to_owned())] {
        let decoded = login.as_deref().map(|login| login.replace("%40", "@"));
        let proxy = CorporateProxy::start(&names, decoded.as_deref());
        let home = Home::new();
        // No name of the test is in /etc/hosts here: only the proxy resolves it.
        let mut serve = home.serve(rule_options(&site.authority, &[&site.place("")]));
        let at = login.as_deref().map(|login| format!("{login}@")).unwrap_or_default();
        serve.env(VARIABLE, TOKEN).env("HTTPS_PROXY", format!("http://{at}{}", proxy.address));
        let bridge = Bridge::start(home, serve);
        let url = site.url("/a");
        let exec = ["exec", "--http", "--", "curl", "-sS", &url];
        bridge.client(exec).outcome().succeeds().prints("answer to /a");
        assert_eq!(proxy.asked(), [site.origin()]);
    }
    let requests = site.server.requests();
    assert!(requests.iter().all(|asked| asked.header("proxy-authorization").is_none()));
    assert_eq!(requests.len(), 2);
}

#[test]
fn a_proxy_before_the_host_that_refuses_is_named() {
    require!(CURL);
    let site = Site::echo();
    let proxy = CorporateProxy::start(&[], Some("user:right"));
    let home = Home::new();
    let mut serve = home.serve(rule_options(&site.authority, &[&site.place("")]));
    serve.env(VARIABLE, TOKEN).env("HTTPS_PROXY", format!("http://user:hunter2wrong@{}", proxy.address));
    let bridge = Bridge::start(home, serve);
    let url = site.url("/a");
    let exec = ["exec", "--http", "--", "curl", "-sS", "-w", " %{http_code}", &url];
    let outcome = bridge.client(exec).outcome().succeeds();
    assert!(outcome.text().ends_with(" 502") && outcome.text().contains("407"), "{outcome:?}");
    assert!(!outcome.text().contains("hunter2wrong") && !outcome.stderr.contains("hunter2wrong"));
    assert!(!bridge.process.stderr().contains("hunter2wrong"));
}

/// A server that has no rule, for the build's own ways.
fn unruled(authority: &Authority) -> Scripted {
    Scripted::start(authority, &["unruled.example", "127.0.0.1"], |asked, connection| {
        connection.answer("200 OK", "", format!("unruled {}", asked.target()))?;
        Ok(Then::Keep)
    })
}

#[test]
fn a_proxy_before_the_build_gets_what_has_no_rule() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let other = unruled(&site.authority);
    let proxy = CorporateProxy::start(&[("unruled.example", Ipv4Addr::LOCALHOST.into())], Some("user:pass"));
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let ca = site.authority.file();
    let script = "curl -sS \"$1\" && echo && curl -sS --cacert \"$3\" \"$2\"";
    let url = format!("https://unruled.example:{}/b", other.port());
    for variable in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        let command = ["sh", "-c", script, "sh", &site.url("/a"), &url, ca.to_str().unwrap()];
        let mut exec = ruled.exec(&[], &command);
        exec.env(variable, proxy.url()).env("NO_PROXY", "localhost,127.0.0.1,.internal.example");
        exec.outcome().succeeds().prints("answer to /a\nunruled /b");
    }
    let expected = format!("unruled.example:{}", other.port());
    assert!(proxy.asked().iter().all(|asked| *asked == expected), "{:?}", proxy.asked());
    assert_eq!(proxy.asked().len(), 4);
    assert!(other.requests().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn the_builders_own_proxy_variables_do_not_get_in_the_way() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    // As BuildKit passes them to each step: the ruled host is even named as one without a proxy.
    let proxy = CorporateProxy::start(&[], None);
    let script = "curl -sS \"$1\" && echo && printf '%s\\n' \"$http_proxy\" \"$NO_PROXY\"";
    let mut exec = ruled.exec(&[], &["sh", "-c", script, "sh", &site.url("/a")]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        exec.env(name, proxy.url());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        exec.env(name, format!("kept.example,{HOST},.example.org"));
    }
    let outcome = exec.outcome().succeeds();
    let text = outcome.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("answer to /a"), "{text}");
    assert_eq!(lines.next(), Some(proxy.url().as_str()));
    let no_proxy: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert!(no_proxy.contains(&"kept.example") && no_proxy.contains(&".example.org"), "{text}");
    assert!(no_proxy.contains(&"localhost") && !no_proxy.contains(&HOST), "{text}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[test]
fn a_signal_reaches_command_and_the_proxy_ends_with_it() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let script = "trap 'curl -sS \"$1\"; exit 7' TERM; echo \"$https_proxy $SSL_CERT_FILE\"; \
                  while :; do sleep 0.1; done";
    let exec = ruled.exec(&[], &["sh", "-c", script, "sh", &site.url("/last")]).start();
    let line = exec.prints_line();
    let (proxy, bundle) = line.split_once(' ').unwrap();
    exec.signal(rustix::process::Signal::TERM);
    let outcome = exec.ends().exits_with(7);
    assert!(outcome.text().ends_with("answer to /last"), "{outcome:?}");
    assert!(!std::path::Path::new(bundle).exists());
    let address = proxy.rsplit_once('@').unwrap().1.trim_end_matches('/');
    assert!(std::net::TcpStream::connect(address).is_err());
}
