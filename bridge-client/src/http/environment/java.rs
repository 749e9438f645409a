//! JVMs read neither the variables for proxies nor those for CA certificates. They take properties from a variable.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::http::RuledOrigin;
use tracing::{debug, warn};

use super::bundle::{self, Roots};
use super::{Before, no_proxy, truststore};
use crate::exec::private_dir::{PrivateDir, Readers};
use crate::http::proxy::ProxyFacts;

/// Every JVM takes these options, before those of its command line.
const TOOL_OPTIONS: &str = "JAVA_TOOL_OPTIONS";

/// Further variables with options, which programs put on the command line, or which come after it. Ours are added only where
/// they set one of [`OVERRIDDEN`] already.
const OTHER_OPTIONS: [&str; 7] =
    ["_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS", "JAVA_OPTS", "SBT_OPTS", "ANT_OPTS"];

/// Begins of properties that ours replace.
const OVERRIDDEN: [&str; 3] = ["-Dhttps.proxy", "-Djavax.net.ssl.trustStore", "-Dhttp.nonProxyHosts"];

const TRUST_STORE: &str = "-Djavax.net.ssl.trustStore=";
const TRUST_STORE_PASSWORD: &str = "-Djavax.net.ssl.trustStorePassword=";
const TRUST_STORE_TYPE: &str = "-Djavax.net.ssl.trustStoreType=";
const NON_PROXY_HOSTS: &str = "-Dhttp.nonProxyHosts=";

/// Truststores of a JVM, below its home: the first that exists counts (JSSE Reference Guide). Below `jre` in a JDK 8.
const OWN_STORES: [&str; 4] = [
    "lib/security/jssecacerts",
    "lib/security/cacerts",
    "jre/lib/security/jssecacerts",
    "jre/lib/security/cacerts",
];

/// The variables for JVMs; none if there is no JVM, which saves the time for its truststore.
pub(super) fn variables(
    facts: &ProxyFacts,
    ruled: &[RuledOrigin],
    roots: &Roots,
    before: &Before<'_>,
    directory: &PrivateDir,
) -> io::Result<Vec<(String, String)>> {
    let Some(home) = home(before) else { return Ok(Vec::new()) };
    let text =
        |name: &str| before.variable(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
    let options = text(TOOL_OPTIONS);
    let password = property(&options, TRUST_STORE_PASSWORD);
    let named = property(&options, TRUST_STORE);
    let mut trusted = trusted(named, &home, roots);
    trusted.push(facts.ca_der.clone());
    let password = password.unwrap_or(truststore::DEFAULT_PASSWORD);
    let file = directory.write_for("java.jks", &truststore::write(&trusted, password), Readers::All)?;
    let quote = |text: &str| if text.contains(' ') { format!("\"{text}\"") } else { text.to_owned() };
    let ours = |others: &str| {
        let address: SocketAddr = facts.address;
        let mut ours = vec![
            format!("{TRUST_STORE}{}", quote(&file.to_string_lossy())),
            format!("-Dhttps.proxyHost={}", address.ip()),
            format!("-Dhttps.proxyPort={}", address.port()),
        ];
        if property(others, TRUST_STORE_TYPE).is_some() {
            ours.push(format!("{TRUST_STORE_TYPE}JKS"));
        }
        let hosts = property(others, NON_PROXY_HOSTS);
        let kept = no_proxy::java_list(hosts, ruled);
        if kept != no_proxy::java_list(hosts, &[]) {
            ours.push(format!("{NON_PROXY_HOSTS}{kept}"));
        }
        ours.join(" ")
    };
    let mut variables =
        vec![(TOOL_OPTIONS.to_owned(), format!("{options} {}", ours(&options)).trim().to_owned())];
    for name in OTHER_OPTIONS {
        let value = text(name);
        if OVERRIDDEN.iter().any(|option| value.contains(option)) {
            variables.push((name.to_owned(), format!("{value} {}", ours(&value))));
        }
    }
    Ok(variables)
}

/// The value of a property in options that are separated by white space: the last one counts.
fn property<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    let value = options
        .split_ascii_whitespace()
        .rev()
        .find_map(|option| option.trim_matches(['"', '\'']).strip_prefix(name));
    value.map(|value| value.trim_matches(['"', '\'']))
}

/// The home of the JVM that COMMAND's tools start. `None` if there is none.
fn home(before: &Before<'_>) -> Option<PathBuf> {
    const PROGRAM: &str = if cfg!(windows) { "java.exe" } else { "java" };
    let of_variable = before.variable("JAVA_HOME").map(PathBuf::from);
    if let Some(home) = of_variable.filter(|home| home.join("bin").join(PROGRAM).is_file()) {
        return Some(home);
    }
    let path = before.variable("PATH")?;
    let found =
        std::env::split_paths(&path).map(|place| place.join(PROGRAM)).find(|program| program.is_file())?;
    // In /usr/bin it is a link.
    let program = fs::canonicalize(found).ok()?;
    let home = program.parent().filter(|bin| bin.file_name() == Some(OsStr::new("bin")))?.parent()?;
    Some(home.to_owned())
}

/// The certificates of the truststore `named`, else of the JVM's own one, else of the image.
fn trusted(named: Option<&str>, home: &Path, roots: &Roots) -> Vec<Vec<u8>> {
    let read = |path: &Path| -> Option<Vec<Vec<u8>>> {
        let file = bundle::read_regular(path).ok()?;
        let found = truststore::read(&file).filter(|found| !found.is_empty())?;
        Some(found.into_iter().map(<[u8]>::to_vec).collect())
    };
    if let Some(named) = named {
        return read(Path::new(named)).unwrap_or_else(|| {
            warn!(
                "cannot read the truststore {}, which {TOOL_OPTIONS} names (JKS, or PKCS#12 without encryption): JVMs \
                 trust only servers with a rule",
                proto::escape(named)
            );
            Vec::new()
        });
    }
    OWN_STORES.iter().find_map(|path| read(&home.join(path))).unwrap_or_else(|| {
        debug!("no truststore in {}: JVMs trust the image's certificates", home.display());
        truststore::from_pem(roots.image())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_property_counts() {
        let options = "-Da=1 -Djavax.net.ssl.trustStore=/a '-Djavax.net.ssl.trustStore=/b' -Dx";
        assert_eq!(property(options, TRUST_STORE), Some("/b"));
        assert_eq!(property("-Djavax.net.ssl.trustStore=\"/c\"", TRUST_STORE), Some("/c"));
        assert_eq!(property(options, TRUST_STORE_PASSWORD), None);
    }
}
