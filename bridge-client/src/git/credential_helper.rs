//! git's logins over https: COMMAND's environment makes git ask this program for the credentials of certain servers, and
//! it answers from a file in the private directory (gitcredentials(7), "CUSTOM HELPERS").
//!
//! Nothing is said about other servers, so git does for them what it would do without us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use git_credential::{
    AttributeError, GitAttributes, GitCredentials, GitCredentialsError, GitScope, MAX_GIT_ATTRIBUTES,
    MAX_GIT_CREDENTIALS_TEXT,
};
use proto::{Key, Secret};
use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use crate::delivery::error::DeliveryError;
use crate::delivery::request::FileTarget;
use crate::git::config::{self, GitConfigCount};

/// The variable that says where the file is.
pub const VARIABLE: &str = "SECRETS_BRIDGE_GIT_CREDENTIALS";
/// git's own: whether it may ask at the terminal.
const TERMINAL_PROMPT: &str = "GIT_TERMINAL_PROMPT";

/// A server for which there are credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GitServer {
    /// `HOST[:PORT]`.
    name: String,
    /// Whether one of them is for a path only.
    by_path: bool,
}

/// The servers that `text`, the value of `key`, has credentials for.
///
/// # Errors
/// [`DeliveryError`] if it has none.
pub(crate) fn servers(key: &Key, text: &Secret) -> Result<Vec<GitServer>, DeliveryError> {
    let credentials = GitCredentials::parse(text.expose())
        .map_err(|problem| DeliveryError::NotGit { key: key.clone(), problem })?;
    if credentials.unencrypted > 0 {
        warn!("{key}: what is for http:// is not used (lines: {})", credentials.unencrypted);
    }
    let mut servers: Vec<GitServer> = Vec::new();
    for scope in credentials.all().iter().map(|credential| credential.scope()) {
        let (name, by_path) = (scope.server(), scope.depth() > 0);
        match servers.iter_mut().find(|server| server.name == name) {
            Some(server) => server.by_path |= by_path,
            None => servers.push(GitServer { name, by_path }),
        }
    }
    if servers.is_empty() { Err(DeliveryError::NoGitCredential { key: key.clone() }) } else { Ok(servers) }
}

/// The file from which we answer.
pub(crate) fn file() -> FileTarget {
    FileTarget { path: None, variable: Some(VARIABLE.to_owned()), mode: 0o600, replace: false }
}

/// Adds what makes git ask us about `servers`, and nobody else: a helper of the image must neither be asked about them nor
/// told to keep what we answered.
///
/// # Errors
/// [`GitSetupError`].
pub(crate) fn set_up(
    servers: &[GitServer],
    variables: &mut Vec<(String, OsString)>,
) -> Result<(), GitSetupError> {
    if servers.is_empty() {
        return Ok(());
    }
    let helper = std::env::current_exe().and_then(|own| call(&own)).map_err(GitSetupError::OwnProgram)?;
    if cfg!(unix) && !Path::new("/bin/sh").exists() {
        warn!("git starts credential helpers by a shell, and there is no /bin/sh here");
    }
    config::append(settings(servers, &helper), variables, |name| std::env::var_os(name))?;
    if std::env::var_os(TERMINAL_PROMPT).is_none() {
        // What the bridge does not have nobody will type in a build, and it would wait for ever.
        variables.push((TERMINAL_PROMPT.to_owned(), "0".into()));
    }
    Ok(())
}

fn settings(servers: &[GitServer], helper: &str) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for GitServer { name, by_path } in servers {
        let key = |name_of: &str| format!("credential.https://{name}.{name_of}");
        // An empty one makes git forget those before it (gitcredentials(7)).
        settings.push((key("helper"), String::new()));
        settings.push((key("helper"), helper.to_owned()));
        if *by_path {
            // Else git does not say for which repository it asks.
            settings.push((key("useHttpPath"), "true".to_owned()));
        }
    }
    settings
}

/// How git calls `program`: `!` makes it a line for the shell, which is one that knows `/` on Windows too.
fn call(program: &Path) -> io::Result<String> {
    let path = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
    Ok(format!("!'{}' git-credential", path.replace('\'', r"'\''")))
}

/// Why git cannot be told to ask this program.
#[derive(Debug, Error)]
pub enum GitSetupError {
    /// The path of this program is not known, or is not text.
    #[error("cannot make this program git's credential helper: {0}")]
    OwnProgram(io::Error),
    #[error(transparent)]
    Config(#[from] GitConfigCount),
}

/// Why git gets no answer.
#[derive(Debug, Error)]
pub enum GitHelperError {
    /// The variable is not set.
    #[error("{VARIABLE} is not set: this is for git in `secrets-bridge exec --git-credentials`")]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read the git credentials in {}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It does not hold git credentials.
    #[error("{}: {problem}", .path.display())]
    NotGit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: GitCredentialsError,
    },
    /// What git says cannot be read.
    #[error("cannot read git's request")]
    Request(#[source] io::Error),
    /// git said something that is not in its protocol.
    #[error("git's request: {0}")]
    NoRequest(#[from] AttributeError),
    /// git said too much.
    #[error("git's request is longer than {} KiB", MAX_GIT_ATTRIBUTES >> 10)]
    LongRequest,
}

/// What git is told.
#[derive(Debug)]
pub enum Answer {
    /// User and password, in git's lines.
    Login(Secret),
    /// Nothing: there are none for this, whatever it is, in words. Not escaped.
    Nothing(String),
}

/// The answer to `request`, git's `get`, from the credentials in `file`.
///
/// # Errors
/// [`GitHelperError`].
pub fn answer(file: Option<&Path>, request: impl Read) -> Result<Answer, GitHelperError> {
    let asked = read(request, MAX_GIT_ATTRIBUTES).map_err(GitHelperError::Request)?;
    if asked.len() > MAX_GIT_ATTRIBUTES {
        return Err(GitHelperError::LongRequest);
    }
    let asked = GitAttributes::parse(&asked)?;
    let path = file.ok_or(GitHelperError::NoFile)?;
    let text = File::open(path).and_then(|file| read(file, MAX_GIT_CREDENTIALS_TEXT));
    let text = text.map_err(|source| GitHelperError::File { path: path.to_owned(), source })?;
    let credentials = GitCredentials::parse(&text)
        .map_err(|problem| GitHelperError::NotGit { path: path.to_owned(), problem })?;
    Ok(reply(&credentials, &asked))
}

fn reply(credentials: &GitCredentials, asked: &GitAttributes) -> Answer {
    let text = |secret: &Option<Secret>| {
        secret.as_ref().map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
    };
    let (protocol, host) = (text(&asked.protocol).unwrap_or_default(), text(&asked.host).unwrap_or_default());
    let path = text(&asked.path);
    let user = asked.username.as_ref().map(Secret::expose);
    let wanted = GitScope::from_request(&host, path.as_deref()).filter(|_| protocol == "https");
    match wanted.and_then(|wanted| credentials.find(&wanted, user)) {
        Some(found) => {
            let (user, password) = (found.user().expose(), found.password().expose());
            let lines: [&[u8]; 5] = [b"username=", user, b"\npassword=", password, b"\n"];
            Answer::Login(Secret::new(lines.concat()))
        }
        None => {
            let as_whom = if user.is_some() { " as the user that is asked for" } else { "" };
            Answer::Nothing(format!("{protocol}://{host}/{}{as_whom}", path.unwrap_or_default()))
        }
    }
}

/// To the end, or to one byte more than `limit`.
fn read(from: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(request: &str) -> Option<String> {
        let text = b"https://u:p%3A%40@h:8443\nhttps://v:q@h/org/repo\n";
        let asked = GitAttributes::parse(request.as_bytes()).unwrap();
        match reply(&GitCredentials::parse(text).unwrap(), &asked) {
            Answer::Login(lines) => Some(String::from_utf8(lines.expose().to_vec()).unwrap()),
            Answer::Nothing(_) => None,
        }
    }

    #[test]
    fn only_what_is_named_is_answered_and_only_for_https() {
        let login = |text: &str| Some(text.to_owned());
        assert_eq!(answered("protocol=https\nhost=H:8443\n"), login("username=u\npassword=p:@\n"));
        assert_eq!(answered("protocol=https\nhost=h\npath=org/repo.git"), login("username=v\npassword=q\n"));
        for request in [
            "",
            "protocol=https",
            "host=h:8443",
            "protocol=http\nhost=h:8443",
            "protocol=https\nhost=h",
            "protocol=https\nhost=h\npath=org/../org/repo",
            "protocol=https\nhost=h:8443\nusername=v",
            "protocol=https\nhost=h:8443.evil",
        ] {
            assert_eq!(answered(request), None, "{request}");
        }
    }

    #[test]
    fn each_server_is_set_up_once_and_paths_are_asked_for_where_they_matter() {
        let text =
            Secret::from("https://u:p@h\nhttps://u:p@h:1/a\nhttps://u:p@h:1\nhttp://u:p@plain\n".to_owned());
        let servers = servers(&"git-credentials".parse().unwrap(), &text).unwrap();
        let settings = settings(&servers, "!x");
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            settings,
            [
                ("credential.https://h.helper", ""),
                ("credential.https://h.helper", "!x"),
                ("credential.https://h:1.helper", ""),
                ("credential.https://h:1.helper", "!x"),
                ("credential.https://h:1.useHttpPath", "true"),
            ]
        );
    }

    #[test]
    fn a_text_without_credentials_is_an_error() {
        let servers = |text: &str| {
            servers(&"git-credentials".parse().unwrap(), &Secret::from(text.to_owned())).unwrap_err()
        };
        assert!(matches!(servers("hunter2"), DeliveryError::NotGit { .. }));
        assert!(matches!(servers("http://u:p@h\n"), DeliveryError::NoGitCredential { .. }));
    }

    #[test]
    fn a_request_without_end_is_not_read_to_its_end() {
        let refused = answer(None, io::repeat(b'\n')).unwrap_err();
        assert!(matches!(refused, GitHelperError::LongRequest));
    }

    #[test]
    #[cfg(unix)]
    fn the_shell_takes_the_programs_path_for_one_word() {
        assert_eq!(call(Path::new("/a b/it's")).unwrap(), r"!'/a b/it'\''s' git-credential");
    }
}
