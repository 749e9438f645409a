//! The environment with which COMMAND's tools use the proxy.
//!
//! Each tool takes its proxy and its CA certificates from somewhere else: this is the one place that knows from where. What
//! stood in a variable before stays in force as far as possible. The files are in a directory of their own, in memory, that
//! other users of the build step can read too: certificates are public, and some tools run as another user.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use proto::http::RuledOrigin;

use super::error::HttpError;
use super::proxy::ProxyFacts;
use crate::exec::private_dir::{PrivateDir, Readers};

mod bundle;
mod configuration;
mod java;
mod no_proxy;
mod truststore;

use bundle::{Base, Roots};

/// The user of the proxy's URL.
const USER: &str = "sb";

/// Variables that are always set to a bundle, and those that say what the bundle has besides our CA: the first that is set.
/// The second ones are those that the tools read themselves, in their order.
const BUNDLES: [(&str, &[&str]); 3] = [
    ("SSL_CERT_FILE", &["SSL_CERT_FILE"]),
    ("REQUESTS_CA_BUNDLE", &["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]),
    ("GIT_SSL_CAINFO", &["GIT_SSL_CAINFO"]),
];

/// Variables that tools prefer to those, and that get a bundle where they are set.
const OTHER_BUNDLES: [&str; 16] = [
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "NPM_CONFIG_CAFILE",
    "npm_config_cafile",
    "YARN_CAFILE",
    "yarn_cafile",
    "YARN_HTTPS_CA_FILE_PATH",
    "BUNDLE_SSL_CA_CERT",
    "COMPOSER_CAFILE",
    "DENO_CERT",
    "AWS_CA_BUNDLE",
    "NIX_SSL_CERT_FILE",
    "HEX_CACERTS_PATH",
    "WGET2_CA_CERTIFICATE",
    "SVN_SSL_CA_FILE",
];

/// Variables with the URL of a proxy that single tools prefer to `https_proxy`, where they are set.
const OTHER_PROXIES: [&str; 8] = [
    "NPM_CONFIG_HTTPS_PROXY",
    "npm_config_https_proxy",
    "NPM_CONFIG_PROXY",
    "npm_config_proxy",
    "PIP_PROXY",
    "CARGO_HTTP_PROXY",
    "yarn_https_proxy",
    "yarn_proxy",
];

/// Lists of hosts that single tools prefer to `NO_PROXY`, where they are set.
const OTHER_LISTS: [&str; 2] = ["NPM_CONFIG_NOPROXY", "npm_config_noproxy"];

/// What COMMAND would have without the proxy.
pub(super) struct Before<'a> {
    /// The value of a variable.
    pub(super) lookup: &'a dyn Fn(&str) -> Option<OsString>,
    /// The directory in which the image's certificates are: `/`, except in tests.
    pub(super) root: &'a Path,
}

impl Before<'_> {
    /// `None` if it is empty or not set.
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }
}

/// Writes the files for COMMAND's tools into `directory`, and returns the variables. Each of `placeholders` is the name of a
/// variable.
///
/// # Errors
/// [`HttpError::Files`].
pub(super) fn set_up(
    facts: &ProxyFacts,
    ruled: &[RuledOrigin],
    placeholders: &[String],
    before: &Before<'_>,
    directory: &PrivateDir,
) -> Result<Vec<(String, OsString)>, HttpError> {
    let mut variables = Vec::new();
    collect(&mut variables, facts, ruled, before, directory).map_err(HttpError::Files)?;
    for name in placeholders {
        variables.push((name.clone(), placeholder(name).into()));
    }
    variables.extend(facts.mirrors.iter().map(|(name, url)| (name.clone(), url.into())));
    Ok(variables)
}

fn collect(
    variables: &mut Vec<(String, OsString)>,
    facts: &ProxyFacts,
    ruled: &[RuledOrigin],
    before: &Before<'_>,
    directory: &PrivateDir,
) -> io::Result<()> {
    let mut set = |name: &str, value: OsString| variables.push((name.to_owned(), value));
    let text = |name: &str| before.variable(name).map(|value| value.to_string_lossy().into_owned());

    let proxy = proxy_url(facts);
    for name in ["https_proxy", "HTTPS_PROXY", "YARN_HTTPS_PROXY"] {
        set(name, proxy.clone().into());
    }
    // Where one is not set, tools read the other.
    for (name, other) in [("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")] {
        let list = text(name).or_else(|| text(other)).unwrap_or_default();
        set(name, no_proxy::list(&list, ruled).into());
    }
    for name in OTHER_PROXIES.into_iter().filter(|name| before.variable(name).is_some()) {
        set(name, proxy.clone().into());
    }
    for name in OTHER_LISTS {
        if let Some(list) = text(name) {
            set(name, no_proxy::list(&list, ruled).into());
        }
    }

    let roots = Roots::of_image(before.root);
    let ca = directory.write_for("ca.pem", facts.ca_pem.as_bytes(), Readers::All)?;
    let mut bundles = Bundles { roots: &roots, ours: &facts.ca_pem, directory, written: Vec::new() };
    let for_all = bundles.of(Base::Image, "")?;
    for (name, sources) in BUNDLES {
        set(name, bundles.of(bundle::base_of(before, sources), name)?.into());
    }
    for name in OTHER_BUNDLES.into_iter().filter(|name| before.variable(name).is_some()) {
        set(name, bundles.of(bundle::base_of(before, &[name]), name)?.into());
    }
    // Node adds these to its own.
    const NODE: &str = "NODE_EXTRA_CA_CERTS";
    let extra = match bundle::base_of(before, &[NODE]) {
        Base::Image => ca.clone(),
        named @ Base::Named(_) => bundles.of(named, NODE)?,
    };
    set(NODE, extra.into());
    set("NODE_USE_ENV_PROXY", "1".into());

    // The token that cargo demands before it asks a registry with `auth-required`. cargo asks the last provider of the list
    // first, so that a token of the user goes before it.
    set("CARGO_CREDENTIAL_ALIAS_SB", format!("cargo:token-from-stdout echo {}", placeholder("cargo")).into());
    const PROVIDERS: &str = "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS";
    let others = text(PROVIDERS).unwrap_or_else(|| "cargo:token".to_owned());
    set(PROVIDERS, format!("sb {others}").into());

    for (name, value) in java::variables(facts, ruled, &roots, before, directory)? {
        set(&name, value.into());
    }
    let files = configuration::variables(facts, ruled, &roots, before, directory, (&ca, &for_all))?;
    variables.extend(files);
    Ok(())
}

/// The proxy with its password, which demands that it comes from COMMAND.
fn proxy_url(facts: &ProxyFacts) -> String {
    format!("http://{USER}:{}@{}", facts.password, facts.address)
}

/// A value that is not a token, and says so where it turns up.
fn placeholder(name: &str) -> String {
    let mut text = "sb-placeholder-".to_owned();
    text.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }));
    text
}

/// The bundles that are written: variables that named the same before share one.
struct Bundles<'a> {
    roots: &'a Roots,
    ours: &'a str,
    directory: &'a PrivateDir,
    written: Vec<(Base, PathBuf)>,
}

impl Bundles<'_> {
    fn of(&mut self, base: Base, variable: &str) -> io::Result<PathBuf> {
        if let Some((_, path)) = self.written.iter().find(|(written, _)| *written == base) {
            return Ok(path.clone());
        }
        let bundle = self.roots.with(&base, variable, self.ours);
        let path =
            self.directory.write_for(&format!("bundle{}.pem", self.written.len()), &bundle, Readers::All)?;
        self.written.push((base, path.clone()));
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
