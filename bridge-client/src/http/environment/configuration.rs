//! Configuration files for tools that take the proxy or CA certificates from nothing else.
//!
//! | file | for | what the user had |
//! |---|---|---|
//! | `GEMRC` | gem and Bundler, which send a part of their requests past `https_proxy` | a list of files, to which ours is added |
//! | `WGETRC` | wget, which reads no variable for CA certificates with GnuTLS | copied: wget reads this file only, instead of `~/.wgetrc` |
//! | `APT_CONFIG` | apt before 3, whose methods run as another user and read no variables | included |
//! | `PHP_INI_SCAN_DIR` | PHP's extensions curl and openssl | a list of directories, to which ours is added |

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use proto::http::RuledOrigin;
use tracing::warn;

use super::bundle::{self, Base, Roots};
use super::{Before, proxy_url};
use crate::exec::private_dir::{PrivateDir, Readers};
use crate::http::proxy::ProxyFacts;

/// Most bytes of a user's file that is copied.
const MAX_COPIED: usize = 64 << 10;

/// What separates the entries of a list of paths.
const SEPARATOR: &str = if cfg!(windows) { ";" } else { ":" };

/// Writes the files. `ca` is the file of our CA alone, `bundle` that of the image's certificates and ours.
pub(super) fn variables(
    facts: &ProxyFacts,
    ruled: &[RuledOrigin],
    roots: &Roots,
    before: &Before<'_>,
    directory: &PrivateDir,
    (ca, bundle): (&Path, &Path),
) -> io::Result<Vec<(String, OsString)>> {
    let proxy = proxy_url(facts);
    let mut variables: Vec<(String, OsString)> = Vec::new();
    let gemrc = format!(":http_proxy: {proxy}\n:ssl_ca_cert: {}\n", bundle.display());
    let gemrc = directory.write_for("gemrc", gemrc.as_bytes(), password_readers())?;
    variables.push(("GEMRC".to_owned(), listed(before, "GEMRC", gemrc)));

    let wgetrc = wgetrc(before, ca, roots, facts, directory)?;
    variables.push(("WGETRC".to_owned(), wgetrc.into()));

    let apt = apt(&proxy, ruled, ca, before.variable("APT_CONFIG").map(PathBuf::from));
    // apt itself reads it, which runs as root.
    let apt = directory.write_for("apt.conf", apt.as_bytes(), Readers::Own)?;
    variables.push(("APT_CONFIG".to_owned(), apt.into()));

    let php = directory.make_readable("php")?;
    let ini = format!("curl.cainfo = \"{0}\"\nopenssl.cafile = \"{0}\"\n", bundle.display());
    directory.write_for("php/sb.ini", ini.as_bytes(), Readers::All)?;
    // An entry that is empty stands for the directory that PHP was built with.
    variables.push(("PHP_INI_SCAN_DIR".to_owned(), listed(before, "PHP_INI_SCAN_DIR", php)));
    Ok(variables)
}

/// Who can read a file with the proxy's password. COMMAND may give up root, and then another user's tools need it; a COMMAND
/// of an ordinary user keeps it from others.
fn password_readers() -> Readers {
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        return Readers::All;
    }
    Readers::Own
}

/// The list that `variable` was, with `path` at its end.
fn listed(before: &Before<'_>, variable: &str, path: PathBuf) -> OsString {
    let mut list = before.variable(variable).unwrap_or_default();
    if !list.is_empty() || variable == "PHP_INI_SCAN_DIR" {
        list.push(SEPARATOR);
    }
    list.push(path);
    list
}

/// Writes wget's file: that of the user, and our CA. wget adds the certificates to those of the system.
fn wgetrc(
    before: &Before<'_>,
    ca: &Path,
    roots: &Roots,
    facts: &ProxyFacts,
    directory: &PrivateDir,
) -> io::Result<PathBuf> {
    let of_home = || Some(PathBuf::from(before.variable("HOME")?).join(".wgetrc"));
    let users = before.variable("WGETRC").map(PathBuf::from).or_else(of_home);
    let copied = users.and_then(|path| {
        let contents = bundle::read_regular(&path);
        match contents {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Ok(contents) if contents.len() <= MAX_COPIED => Some(contents),
            Ok(_) | Err(_) => {
                warn!(
                    "cannot copy {} for wget, which does without it: it must be a readable file of at most {} KiB",
                    proto::escape(&path.to_string_lossy()),
                    MAX_COPIED >> 10
                );
                None
            }
        }
    });
    // A user's file may have passwords in it.
    let readers = if copied.is_some() { Readers::Own } else { Readers::All };
    let mut wgetrc = copied.unwrap_or_default();
    let named = setting(&wgetrc, "ca_certificate");
    let certificate = match named {
        None => ca.to_owned(),
        Some(named) => {
            let bundle = roots.with(&Base::Named(named.into()), "ca_certificate of wget", &facts.ca_pem);
            directory.write_for("wget.pem", &bundle, Readers::All)?
        }
    };
    if !wgetrc.is_empty() && !wgetrc.ends_with(b"\n") {
        wgetrc.push(b'\n');
    }
    wgetrc.extend_from_slice(format!("ca_certificate = {}\n", certificate.display()).as_bytes());
    if setting(&wgetrc, "https_proxy").is_some() {
        wgetrc.extend_from_slice(format!("https_proxy = {}\n", proxy_url(facts)).as_bytes());
    }
    directory.write_for("wgetrc", &wgetrc, readers)
}

/// The last value of a setting in a file for wget, which reads names without regard to case, `-` and `_`.
fn setting(wgetrc: &[u8], name: &str) -> Option<String> {
    let plain = |name: &str| name.trim().replace(['-', '_'], "").to_ascii_lowercase();
    let text = String::from_utf8_lossy(wgetrc);
    text.lines().rev().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (plain(found) == plain(name)).then(|| value.trim().to_owned())
    })
}

/// Settings for single hosts: those for all may stand in the image's `apt.conf.d`, which is read later.
fn apt(proxy: &str, ruled: &[RuledOrigin], ca: &Path, users: Option<PathBuf>) -> String {
    let mut text = String::new();
    if let Some(path) = users {
        let _ = writeln!(text, "#include \"{}\";", path.display());
    }
    for RuledOrigin { origin, .. } in ruled {
        // The port does not count. A host cannot contain a quote.
        let host = origin.url_host();
        let _ = writeln!(text, "Acquire::https::Proxy::\"{host}\" \"{proxy}\";");
        let _ = writeln!(text, "Acquire::https::\"{host}\"::CAInfo \"{}\";", ca.display());
    }
    text
}
