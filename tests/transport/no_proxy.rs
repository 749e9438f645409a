//! What `NO_PROXY` exempts, beside what curl makes of the same list.
//!
//! Both run in a network namespace without any way out, so that neither can reach a host or a proxy: what counts is which of
//! them they tried.

use crate::peer::{conf, with_endpoints};
use crate::support::require::{CURL, NETWORK_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Home, Start as _};

const PROXY: &str = "http://127.0.0.1:1";

/// Whose reading of an entry exempts the host.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Both,
    /// That of only one of them, or of some of their releases.
    One,
    Neither,
}

const TABLE: [(&str, &str, By); 36] = [
    ("*", "a.invalid:9100", By::Both),
    ("corp.invalid, *", "a.invalid:9100", By::One),
    ("corp.invalid", "corp.invalid:9100", By::Both),
    ("corp.invalid", "a.b.corp.invalid:9100", By::Both),
    ("corp.invalid", "acorp.invalid:9100", By::Neither),
    ("orp.invalid", "corp.invalid:9100", By::Neither),
    (".corp.invalid", "a.corp.invalid:9100", By::Both),
    ("*.corp.invalid", "a.corp.invalid:9100", By::One),
    ("*.corp.invalid", "corp.invalid:9100", By::Neither),
    ("*corp.invalid", "acorp.invalid:9100", By::Neither),
    ("CORP.invalid", "a.corp.INVALID:9100", By::Both),
    ("x.invalid ,  corp.invalid", "corp.invalid:9100", By::Both),
    ("corp.invalid:9100", "corp.invalid:9100", By::One),
    ("corp.invalid:9101", "corp.invalid:9100", By::Neither),
    ("203.0.113.9", "203.0.113.9:9100", By::Both),
    ("203.0.113.9", "203.0.113.90:9100", By::Neither),
    ("113.9", "203.0.113.9:9100", By::Neither),
    ("203.0.113.9:9100", "203.0.113.9:9100", By::One),
    ("203.0.113.9:443", "203.0.113.9:9100", By::Neither),
    ("10.0.0.0/8", "10.200.1.1:9100", By::Both),
    ("10.9.9.9/8", "10.200.1.1:9100", By::Both),
    ("10.0.0.0/8", "11.0.0.1:9100", By::Neither),
    ("a.invalid,172.16.0.0/12,b.invalid", "172.31.255.255:9100", By::Both),
    ("172.16.0.0/12", "172.32.0.0:9100", By::Neither),
    ("203.0.113.128/25", "203.0.113.127:9100", By::Neither),
    ("203.0.113.9/32", "203.0.113.9:9100", By::Both),
    ("203.0.113.0/33", "203.0.113.0:9100", By::Neither),
    ("10.0.0.0/8:9100", "10.0.0.1:9100", By::One),
    ("0.0.0.0/0", "203.0.113.9:9100", By::One),
    ("2001:db8::1", "[2001:db8::1]:9100", By::Both),
    ("2001:db8::1", "[2001:db8::2]:9100", By::Neither),
    ("[2001:db8::1]:9100", "[2001:db8::1]:9100", By::One),
    ("[2001:db8::1]:9101", "[2001:db8::1]:9100", By::Neither),
    ("2001:db8::/32", "[2001:db8:1::1]:9100", By::One),
    ("2001:db8::/32", "[2001:db9::1]:9100", By::Neither),
    ("::/0", "203.0.113.9:9100", By::Neither),
];

#[test]
fn no_proxy_exempts_what_curl_and_go_do_and_no_more() {
    require!(NETWORK_NAMESPACE, CURL);
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    let home = Home::new();
    let isolated = |list: &str, command: &[&str]| {
        let mut program = home.program("unshare", ["--net", "--map-root-user"]);
        program.args(command).env("NO_PROXY", list);
        program
    };
    for (list, endpoint, by) in TABLE {
        let conf = with_endpoints(&conf(&bridge.conf), 9100, &[endpoint]);
        let shown = isolated(list, &[BINARY, "print", "TOKEN"])
            .env("HTTPS_PROXY", PROXY)
            .env("BRIDGE_CONF", conf)
            .outcome()
            .fails()
            .stderr;
        assert!(shown.contains(&format!("\n  {endpoint}  ")) || by == By::Neither, "{list:?}: {shown}");
        assert_eq!(shown.contains(&format!("{endpoint} by proxy")), by == By::Neither, "{list:?}: {shown}");

        let url = format!("http://{endpoint}/");
        let curl =
            isolated(list, &["curl", "--silent", "--verbose", &url]).env("http_proxy", PROXY).outcome();
        let proxied = curl.stderr.contains("Uses proxy env variable http_proxy");
        assert!(proxied == (by == By::Neither) || by == By::One, "curl and {list:?}: {}", curl.stderr);
    }
}

#[test]
fn an_entry_that_is_not_utf_8_spoils_no_other_one() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    require!(NETWORK_NAMESPACE);
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    bridge
        .home
        .program("unshare", ["--net", "--map-root-user", BINARY, "print", "TOKEN"])
        .env("NO_PROXY", OsStr::from_bytes(b"b\xfccher.invalid,corp.invalid"))
        .env("HTTPS_PROXY", PROXY)
        .env("BRIDGE_CONF", with_endpoints(&conf(&bridge.conf), 9100, &["corp.invalid:9100"]))
        .outcome()
        .fails()
        .says("  corp.invalid:9100  ")
        .never_says("by proxy");
}
