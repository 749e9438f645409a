//! How the conf got into the build: the places where it is looked for, and what COMMAND must not inherit of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use proto::limits::MAX_CONF;
use proto::looks_like_conf;
use proto::{BridgeConf, ConfError};
use thiserror::Error;
use zeroize::Zeroizing;

const CONF_VARIABLE: &str = "BRIDGE_CONF";
/// Docker's predefined build-arg, in the spellings that builders set.
const PROXY_VARIABLES: [&str; 2] = ["FTP_PROXY", "ftp_proxy"];
#[cfg(not(windows))]
const SECRET_FILE: &str = "/run/secrets/bridge_conf";
#[cfg(windows)]
const SECRET_FILE: &str = r"C:\ProgramData\Docker\secrets\bridge_conf";
const HOME_FILE: &str = ".bridge-conf";

/// A place where a conf may be, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfSource {
    /// `-c CONF`, `-c FILE` or `-c -`.
    Option,
    /// `$BRIDGE_CONF`.
    Variable,
    /// A mounted secret file.
    SecretFile,
    /// `$FTP_PROXY` or `$ftp_proxy`, when it holds a conf.
    ProxyVariable(&'static str),
    /// `~/.bridge-conf`.
    HomeFile,
}

impl fmt::Display for ConfSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("-c"),
            Self::Variable => write!(f, "${CONF_VARIABLE}"),
            Self::SecretFile => f.write_str(SECRET_FILE),
            Self::ProxyVariable(name) => write!(f, "${name}"),
            Self::HomeFile => write!(f, "~/{HOME_FILE}"),
        }
    }
}

/// Why there is no usable conf. Never carries what was found.
#[derive(Debug, Error)]
pub enum ConfSourceError {
    /// The place holds something that is no usable conf.
    #[error("the bridge conf in {place} cannot be used: {problem}")]
    Unusable {
        /// Where it was.
        place: ConfSource,
        /// What is wrong with it.
        problem: ConfError,
    },
    /// The place exists and cannot be read.
    #[error("the bridge conf in {place} cannot be read: {source}")]
    Unreadable {
        /// Where it was.
        place: ConfSource,
        /// Why not.
        source: io::Error,
    },
    /// `-c` names neither a conf nor a file. What it says is not repeated: it may be a mangled conf.
    #[error("-c names neither a bridge conf (one begins with sb1_) nor a readable file: {0}")]
    NeitherConfNorFile(io::Error),
    /// Nothing anywhere.
    #[error("no bridge conf was found; looked at{}", list(.0))]
    NotFound(Vec<(ConfSource, &'static str)>),
}

fn list(places: &[(ConfSource, &'static str)]) -> String {
    places.iter().map(|(place, state)| format!("\n  {place}: {state}")).collect()
}

/// The first conf found. `option` is the argument of `-c`.
///
/// # Errors
/// [`ConfSourceError`]. A place that holds something else than a conf ends the search; an empty variable does not, since
/// builders set one for a build-arg without a value.
pub fn find(option: Option<&OsStr>) -> Result<BridgeConf, ConfSourceError> {
    if let Some(option) = option {
        return from_option(option);
    }
    let mut looked = Vec::new();
    match variable(CONF_VARIABLE) {
        Some(text) if text.trim().is_empty() => looked.push((
            ConfSource::Variable,
            "empty (is BRIDGE_CONF set where the build was started, or was --build-arg misspelt?)",
        )),
        Some(text) => return parse(ConfSource::Variable, &text),
        None => looked.push((ConfSource::Variable, "not set")),
    }
    match from_file(ConfSource::SecretFile, Some(PathBuf::from(SECRET_FILE)))? {
        Some(conf) => return Ok(conf),
        None => looked.push((ConfSource::SecretFile, "no such file")),
    }
    for name in PROXY_VARIABLES {
        match variable(name) {
            Some(text) if looks_like_conf(&text) => return parse(ConfSource::ProxyVariable(name), &text),
            Some(text) if text.trim().is_empty() => looked.push((ConfSource::ProxyVariable(name), "empty")),
            Some(_) => looked.push((ConfSource::ProxyVariable(name), "not a conf (a proxy's URL?)")),
            None => looked.push((ConfSource::ProxyVariable(name), "not set")),
        }
    }
    let home_file = std::env::home_dir().map(|home| home.join(HOME_FILE));
    looked.push(match from_file(ConfSource::HomeFile, home_file) {
        Ok(Some(conf)) => return Ok(conf),
        Ok(None) => (ConfSource::HomeFile, "no such file"),
        // HOME may be another user's after a `USER` line; there was nothing for us then.
        Err(ConfSourceError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            (ConfSource::HomeFile, "not readable by this user")
        }
        Err(error) => return Err(error),
    });
    Err(ConfSourceError::NotFound(looked))
}

/// Variables that COMMAND must not inherit. This is tidiness and no wall: a parent's environment is readable.
pub fn variables_to_remove() -> Vec<&'static str> {
    let holds_conf = |name: &&str| variable(name).is_some_and(|text| looks_like_conf(&text));
    std::iter::once(CONF_VARIABLE).chain(PROXY_VARIABLES.into_iter().filter(holds_conf)).collect()
}

fn from_option(option: &OsStr) -> Result<BridgeConf, ConfSourceError> {
    if option == "-" {
        let text = read(io::stdin().lock())
            .map_err(|source| ConfSourceError::Unreadable { place: ConfSource::Option, source })?;
        return parse(ConfSource::Option, &text);
    }
    if option.is_empty() {
        return Err(ConfSourceError::Unusable { place: ConfSource::Option, problem: ConfError::Empty });
    }
    if let Some(text) = option.to_str().filter(|text| looks_like_conf(text)) {
        return parse(ConfSource::Option, text);
    }
    let text = File::open(option).and_then(read).map_err(ConfSourceError::NeitherConfNorFile)?;
    parse(ConfSource::Option, &text)
}

fn from_file(place: ConfSource, path: Option<PathBuf>) -> Result<Option<BridgeConf>, ConfSourceError> {
    let Some(path) = path else { return Ok(None) };
    match File::open(path) {
        Ok(file) => {
            let text = read(file).map_err(|source| ConfSourceError::Unreadable { place, source })?;
            parse(place, &text).map(Some)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(ConfSourceError::Unreadable { place, source }),
    }
}

fn parse(place: ConfSource, text: &str) -> Result<BridgeConf, ConfSourceError> {
    BridgeConf::parse(text).map_err(|problem| ConfSourceError::Unusable { place, problem })
}

/// A variable's value, wiped when it is dropped; what is not UTF-8 is certainly no conf.
fn variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var_os(name)
        .map(OsString::into_string)
        .map(|text| Zeroizing::new(text.unwrap_or_else(|_| "?".into())))
}

fn read(reader: impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(MAX_CONF as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_c_says_is_never_repeated() {
        let error = from_option(OsStr::new("b1_c3VwZXJzZWNyZXQ")).unwrap_err();
        assert!(!error.to_string().contains("c3Vw"), "{error}");
        let error = from_option(OsStr::new("sb1_c3VwZXJzZWNyZXQ")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c3Vw"), "{error}");
    }

    #[test]
    fn a_file_is_read_and_an_empty_one_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = from_option(file.path().as_os_str()).unwrap_err();
        assert!(matches!(error, ConfSourceError::Unusable { problem: ConfError::Empty, .. }));
    }
}
