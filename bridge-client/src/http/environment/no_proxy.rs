//! Lists of hosts that tools ask without their proxy: the ruled hosts must not be among them.
//!
//! An entry is left out if any tool could read it as covering a ruled host: some match ends of names without regard to dots
//! (the package `proxy-from-env`), take `*` anywhere (JVMs), or ignore a port. That an entry is missing costs nothing: the
//! proxy knows the list as it was, and connects directly to the hosts in it.

use std::net::IpAddr;

use proto::http::{Origin, RuledOrigin};
use proto::proxy::NoProxy;

/// This machine's own servers. Not `[::1]`: httpx ends with an exception when it reads brackets.
const LOOPBACK: [&str; 4] = ["localhost", "127.0.0.1", "127.0.0.0/8", "::1"];

/// The value of `NO_PROXY` for COMMAND: what is in `before`, and loopback, less what covers a ruled host.
pub(super) fn list(before: &str, ruled: &[RuledOrigin]) -> String {
    let entries = before.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    let mut kept: Vec<&str> = Vec::new();
    for entry in entries.chain(LOOPBACK) {
        if !kept.contains(&entry) && !covers_any(entry, ruled) {
            kept.push(entry);
        }
    }
    kept.join(",")
}

/// The value of the JVM's property `http.nonProxyHosts`, which holds for https too. `before` is what it was set to.
pub(super) fn java_list(before: Option<&str>, ruled: &[RuledOrigin]) -> String {
    // What a JVM takes if the property is not set.
    let entries = before.unwrap_or("localhost|127.*|[::1]").split('|').filter(|entry| !entry.is_empty());
    entries.filter(|entry| !covers_any(entry, ruled)).collect::<Vec<_>>().join("|")
}

fn covers_any(entry: &str, ruled: &[RuledOrigin]) -> bool {
    ruled.iter().any(|ruled| may_cover(entry, &ruled.origin))
}

/// Whether a tool could read `entry` as one that covers `origin`.
fn may_cover(entry: &str, origin: &Origin) -> bool {
    let entry = entry.to_ascii_lowercase();
    let entry = entry.split_once("://").map_or(entry.as_str(), |(_scheme, rest)| rest);
    let without_port = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        // More than one colon is an address of IPv6.
        None => match entry.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            Some(_) | None => entry,
        },
    };
    if let Ok(address) = origin.host().parse::<IpAddr>()
        && NoProxy::parse(without_port).exempts(&address.to_string(), origin.port())
    {
        return true;
    }
    if without_port.contains(':') {
        // An address of IPv6, which is not compared as text.
        return false;
    }
    let name = without_port.split('/').next().unwrap_or_default().trim_end_matches('.');
    if !name.is_ascii() {
        // Some tools compare what the user wrote, others the form in ASCII.
        return origin.host().contains("xn--");
    }
    match (name.split_once('*'), name.rsplit_once('*')) {
        (Some((begin, _)), Some((_, end))) => {
            origin.host().starts_with(begin) && origin.host().ends_with(end.trim_start_matches('.'))
        }
        _ => origin.host().ends_with(name.trim_start_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(origins: &[&str]) -> Vec<RuledOrigin> {
        let ruled = |origin: &&str| RuledOrigin { origin: origin.parse().unwrap(), plain: false };
        origins.iter().map(ruled).collect()
    }

    #[test]
    fn loopback_is_added_once_and_other_entries_stay() {
        let npm = ruled(&["npm.example:443"]);
        assert_eq!(list("", &npm), "localhost,127.0.0.1,127.0.0.0/8,::1");
        assert_eq!(
            list("corp, localhost  .svc\t10.0.0.0/8,,[fd00::1]:80", &npm),
            "corp,localhost,.svc,10.0.0.0/8,[fd00::1]:80,127.0.0.1,127.0.0.0/8,::1"
        );
        let local = ruled(&["localhost:4873", "127.0.0.2:443", "[::1]:443"]);
        assert_eq!(list("", &local), "127.0.0.1");
    }

    #[test]
    fn no_entry_stays_that_covers_a_ruled_host() {
        let ruled =
            ruled(&["npm.corp.example:443", "10.1.2.3:8443", "[fd00::1]:443", "xn--mnchen-3ya.example:443"]);
        for entry in [
            "*",
            ".",
            "npm.corp.example",
            "NPM.Corp.Example.",
            ".npm.corp.example",
            "npm.corp.example:443",
            "npm.corp.example:9",
            "https://npm.corp.example/",
            "corp.example",
            ".corp.example",
            "*.corp.example",
            "*corp.example",
            ".example",
            "example",
            "pm.corp.example",
            "npm.*",
            "npm.*.example",
            "10.1.2.3",
            "10.1.2.3:9",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "10.*",
            "::ffff:10.1.2.3",
            "fd00::1",
            "[fd00::1]",
            "[FD00:0::1]:443",
            "fd00::/8",
            "::/0",
            "münchen.example",
        ] {
            assert_eq!(list(entry, &ruled), "localhost,127.0.0.1,127.0.0.0/8,::1", "{entry}");
        }
        for entry in [
            "other.corp.example",
            "npm.corp.example.org",
            "npm",
            "10.1.2.4",
            "11.0.0.0/8",
            "fd01::/16",
            "corp",
        ] {
            assert!(list(entry, &ruled).starts_with(entry), "{entry}");
        }
    }

    #[test]
    fn lists_of_java_have_their_own_form() {
        let npm = ruled(&["npm.example:443"]);
        assert_eq!(java_list(None, &npm), "localhost|127.*|[::1]");
        assert_eq!(java_list(Some("*.example|corp|npm.*"), &npm), "corp");
        assert_eq!(java_list(None, &ruled(&["localhost:1", "[::1]:1", "127.0.0.1:1"])), "");
    }
}
