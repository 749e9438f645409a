//! The places where a bridge conf may be, and the variables that COMMAND must not inherit because they hold one.

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
/// Docker's predefined build-arg. Builders set it in either spelling.
const PROXY_VARIABLES: [&str; 2] = ["FTP_PROXY", "ftp_proxy"];
#[cfg(not(windows))]
const SECRET_FILE: &str = "/run/secrets/bridge_conf";
#[cfg(windows)]
const SECRET_FILE: &str = r"C:\ProgramData\Docker\secrets\bridge_conf";
const HOME_FILE: &str = ".bridge-conf";

/// A place where a conf may be. Places are searched in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfSource {
    /// `-c CONF`, `-c FILE` or `-c -`.
    Option,
    /// `$BRIDGE_CONF`.
    Variable,
    /// The file where builders mount the secret `bridge_conf`.
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

/// What a search for a conf found.
pub enum Located {
    Conf(BridgeConf),
    /// No place holds a conf.
    Nowhere(NoConf),
}

/// No place holds a conf.
#[derive(Debug, Error)]
#[error("no bridge conf was found; looked at{}", listed(.0))]
pub struct NoConf(Vec<(ConfSource, &'static str)>);

fn listed(places: &[(ConfSource, &'static str)]) -> String {
    places.iter().map(|(place, state)| format!("\n  {place}: {state}")).collect()
}

impl NoConf {
    pub(crate) fn hint() -> String {
        "pass the conf that `secrets-bridge serve` printed: `docker build --build-arg FTP_PROXY …`".to_owned()
    }
}

/// Why a place holds no usable conf. Never contains what was found there.
#[derive(Debug, Error)]
pub enum ConfSourceError {
    #[error("invalid bridge conf in {place}: {problem}")]
    Unusable { place: ConfSource, problem: ConfError },
    #[error("cannot read the bridge conf in {place}: {source}")]
    Unreadable { place: ConfSource, source: io::Error },
    /// The argument of `-c`. It is not repeated, since it may be a mangled conf.
    #[error("-c names neither a bridge conf (one begins with sb1_) nor a readable file: {0}")]
    NeitherConfNorFile(io::Error),
}

impl ConfSourceError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            // A fork of the tool for Go takes `{}` for "no bridge here".
            Self::Unusable { place: ConfSource::Variable, problem: ConfError::NotAConf } => Some(format!(
                "for a build without a bridge, leave {CONF_VARIABLE} empty and mark its secrets with `exec --optional=KEY`"
            )),
            Self::Unusable { .. } | Self::Unreadable { .. } | Self::NeitherConfNorFile(_) => None,
        }
    }
}

/// Searches the places for a conf, in their order. `option` is the argument of `-c`.
///
/// # Errors
/// [`ConfSourceError`]. A place that holds something else than a conf ends the search. An empty variable does not, since
/// builders set one for a build-arg without a value.
pub fn find(option: Option<&OsStr>) -> Result<Located, ConfSourceError> {
    if let Some(option) = option {
        return from_option(option).map(Located::Conf);
    }
    let mut looked = Vec::new();
    match variable(CONF_VARIABLE) {
        Some(text) if text.trim().is_empty() => looked.push((
            ConfSource::Variable,
            "empty (is BRIDGE_CONF set where the build was started, or was --build-arg misspelt?)",
        )),
        Some(text) => return parse(ConfSource::Variable, &text).map(Located::Conf),
        None => looked.push((ConfSource::Variable, "not set")),
    }
    match from_file(ConfSource::SecretFile, Some(PathBuf::from(SECRET_FILE)))? {
        Some(conf) => return Ok(Located::Conf(conf)),
        None => looked.push((ConfSource::SecretFile, "no such file")),
    }
    for name in PROXY_VARIABLES {
        let place = ConfSource::ProxyVariable(name);
        match variable(name) {
            Some(text) if looks_like_conf(&text) => return parse(place, &text).map(Located::Conf),
            Some(text) if text.trim().is_empty() => looked.push((place, "empty")),
            Some(_) => looked.push((place, "not a conf (a proxy's URL?)")),
            None => looked.push((place, "not set")),
        }
    }
    let home_file = local_ipc::home_directory().map(|home| home.join(HOME_FILE));
    looked.push(match from_file(ConfSource::HomeFile, home_file) {
        Ok(Some(conf)) => return Ok(Located::Conf(conf)),
        Ok(None) => (ConfSource::HomeFile, "no such file"),
        // HOME may be another user's after a `USER` line. Then there was nothing for us.
        Err(ConfSourceError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            (ConfSource::HomeFile, "not readable by this user")
        }
        Err(error) => return Err(error),
    });
    Ok(Located::Nowhere(NoConf(looked)))
}

/// Variables that COMMAND does not inherit. This is tidiness, not protection: a parent's environment is readable.
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

/// A variable's value, wiped when it is dropped; what is not UTF-8 cannot be a conf.
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
    fn the_argument_of_c_is_never_repeated() {
        let error = from_option(OsStr::new("b1_c3VwZXJzZWNyZXQ")).unwrap_err();
        assert!(!error.to_string().contains("c3Vw"), "{error}");
        let error = from_option(OsStr::new("sb1_c3VwZXJzZWNyZXQ")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c3Vw"), "{error}");
    }

    #[test]
    fn an_empty_file_is_reported_as_such() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = from_option(file.path().as_os_str()).unwrap_err();
        assert!(matches!(error, ConfSourceError::Unusable { problem: ConfError::Empty, .. }));
    }
}
