//! Credentials for git over HTTPS: COMMAND's environment makes git ask this program for the credentials of certain servers,
//! and this program answers from a file in the private directory (gitcredentials(7), "CUSTOM HELPERS").
//!
//! For other servers git does what it would do without us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use git_credential::{
    AttributeError, GitAttributes, GitCredentials, GitCredentialsError, GitLogin, GitScope,
    MAX_GIT_ATTRIBUTES, MAX_GIT_CREDENTIALS_TEXT,
};
use proto::{Key, Secret};
use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use crate::delivery::access::Access;
use crate::delivery::error::DeliveryError;
use crate::delivery::request::FileTarget;
use crate::git::config::{self, GitConfigCount};

/// The environment variable with the path of the file.
pub const VARIABLE: &str = "SECRETS_BRIDGE_GIT_CREDENTIALS";
/// git's variable for whether it may ask at the terminal.
const TERMINAL_PROMPT: &str = "GIT_TERMINAL_PROMPT";

/// A server for which there are credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GitServer {
    /// `HOST[:PORT]`.
    name: String,
    /// Whether one of the credentials is for a path only.
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
        warn!("{key}: credentials for http:// are not used (lines: {})", credentials.unencrypted);
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

/// The file with the credentials, as a delivery of `exec`.
pub(crate) fn file(access: Access) -> FileTarget {
    FileTarget { path: None, variable: Some(VARIABLE.to_owned()), access, replace: false }
}

/// Adds settings that make git ask this program, and no other helper, about `servers`: a helper of the image must neither be
/// asked about them nor be told to store our answer.
pub(crate) fn set_up(
    servers: &[GitServer],
    variables: &mut Vec<(String, OsString)>,
) -> Result<(), GitSetupError> {
    if servers.is_empty() {
        return Ok(());
    }
    let helper =
        std::env::current_exe().and_then(|own| helper_line(&own)).map_err(GitSetupError::OwnProgram)?;
    if cfg!(unix) && !Path::new("/bin/sh").exists() {
        warn!("git cannot run its credential helper: there is no /bin/sh");
    }
    config::append(settings(servers, &helper), variables, |name| std::env::var_os(name))?;
    if std::env::var_os(TERMINAL_PROMPT).is_none() {
        // For credentials that the bridge does not have git would wait for input without end: a build has no user.
        variables.push((TERMINAL_PROMPT.to_owned(), "0".into()));
    }
    Ok(())
}

fn settings(servers: &[GitServer], helper: &str) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for GitServer { name, by_path } in servers {
        let key = |name_of: &str| format!("credential.https://{name}.{name_of}");
        // An empty value clears the list of helpers (gitcredentials(7)).
        settings.push((key("helper"), String::new()));
        settings.push((key("helper"), helper.to_owned()));
        if *by_path {
            // By default git does not send the path of the repository.
            settings.push((key("useHttpPath"), "true".to_owned()));
        }
    }
    settings
}

/// The value of `credential.helper` that runs `program`: `!` makes it a line for a shell, which takes `/` on Windows, too.
fn helper_line(program: &Path) -> io::Result<String> {
    let path = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
    Ok(format!("!'{}' git-credential", path.replace('\'', r"'\''")))
}

/// Why git cannot be set up to ask this program.
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
pub enum CredentialHelperError {
    #[error("{VARIABLE} is not set: git runs this command in `secrets-bridge exec --git-credentials`")]
    NoFile,
    #[error("cannot read the git credentials in {}{}", .path.display(), other_user(.source))]
    File { path: PathBuf, source: io::Error },
    #[error("invalid git credentials in {}: {problem}", .path.display())]
    InvalidFile { path: PathBuf, problem: GitCredentialsError },
    #[error("cannot read git's request")]
    Request(#[source] io::Error),
    #[error("invalid request from git: {0}")]
    InvalidRequest(#[from] AttributeError),
    #[error("invalid request from git: longer than {} KiB", MAX_GIT_ATTRIBUTES >> 10)]
    LongRequest,
}

/// COMMAND gave up root, and its user was not named.
fn other_user(error: &io::Error) -> &'static str {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    if denied { " (for another user: `exec --git-credentials=uid=USER`)" } else { "" }
}

/// The answer to git.
#[derive(Debug)]
pub enum CredentialAnswer {
    /// User and password, as lines of git's protocol.
    Login(Secret),
    /// There are no credentials. The text says for what, for a message; it is not escaped.
    None(String),
}

/// Answers `request`, git's `get`, from the credentials in `file`.
pub fn answer(file: Option<&Path>, request: impl Read) -> Result<CredentialAnswer, CredentialHelperError> {
    let asked = read(request, MAX_GIT_ATTRIBUTES).map_err(CredentialHelperError::Request)?;
    if asked.len() > MAX_GIT_ATTRIBUTES {
        return Err(CredentialHelperError::LongRequest);
    }
    let asked = GitAttributes::parse(&asked)?;
    let path = file.ok_or(CredentialHelperError::NoFile)?;
    let text = File::open(path).and_then(|file| read(file, MAX_GIT_CREDENTIALS_TEXT));
    let text = text.map_err(|source| CredentialHelperError::File { path: path.to_owned(), source })?;
    let credentials = GitCredentials::parse(&text)
        .map_err(|problem| CredentialHelperError::InvalidFile { path: path.to_owned(), problem })?;
    Ok(find_answer(&credentials, &asked))
}

fn find_answer(credentials: &GitCredentials, asked: &GitAttributes) -> CredentialAnswer {
    let text = |secret: &Option<Secret>| {
        secret.as_ref().map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
    };
    let (protocol, host) = (text(&asked.protocol).unwrap_or_default(), text(&asked.host).unwrap_or_default());
    let path = text(&asked.path);
    let user = asked.username.as_ref().map(Secret::expose);
    let wanted = GitScope::from_request(&host, path.as_deref()).filter(|_| protocol == "https");
    match wanted.as_ref().and_then(|wanted| credentials.find(wanted, user)) {
        Some(GitLogin { user, credential }) => {
            let password = credential.password().expose();
            let lines: [&[u8]; 5] = [b"username=", user, b"\npassword=", password, b"\n"];
            CredentialAnswer::Login(Secret::new(lines.concat()))
        }
        None => {
            // Users may be tokens, and are not shown.
            let as_whom = match (user, wanted.is_some_and(|wanted| credentials.covers(&wanted))) {
                (None, _) => "",
                (Some(_), false) => " and the user in the URL",
                (Some(_), true) => {
                    " and the user in the URL, but for another user: take the user out of the URL, or name it in \
                     --git-credential"
                }
            };
            CredentialAnswer::None(format!("{protocol}://{host}/{}{as_whom}", path.unwrap_or_default()))
        }
    }
}

/// Reads to the end, or to one byte more than `limit`.
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
        match find_answer(&GitCredentials::parse(text).unwrap(), &asked) {
            CredentialAnswer::Login(lines) => Some(String::from_utf8(lines.expose().to_vec()).unwrap()),
            CredentialAnswer::None(_) => None,
        }
    }

    #[test]
    fn only_named_servers_get_an_answer_and_only_for_https() {
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
    fn each_server_is_set_up_once_with_paths_where_they_matter() {
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
    fn an_endless_request_is_refused() {
        let refused = answer(None, io::repeat(b'\n')).unwrap_err();
        assert!(matches!(refused, CredentialHelperError::LongRequest));
    }

    #[test]
    #[cfg(unix)]
    fn the_path_of_the_program_is_one_word_for_the_shell() {
        assert_eq!(helper_line(Path::new("/a b/it's")).unwrap(), r"!'/a b/it'\''s' git-credential");
    }
}
