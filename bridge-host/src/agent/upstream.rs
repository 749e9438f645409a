//! The host's agent: the one behind a socket or named pipe, whose keys are offered.
//!
//! The agent is trusted, and yet its answers are checked: they go on to clients, which are not.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use local_ipc::{FramedStream, LocalStream};
use proto::agent::{Identity, Reader, SESSION_BIND, Writer, number, read_identities};
use proto::limits::MAX_MESSAGE;
use tokio::time::timeout;

use crate::named_file::NamedFile;
use crate::random::random;

/// Time limit of answers that need no person. A signature has none: a person may have to touch a security key.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The service of OpenSSH for Windows.
#[cfg(windows)]
const OPENSSH: &str = "openssh-ssh-agent";
/// What the names of Pageant's pipes begin with; a user name and a hash follow. Before 0.75 it had no pipe.
#[cfg(windows)]
const PAGEANT: &str = "pageant.";

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream(pub(crate) NamedFile);

/// One connection to the host's agent, which keeps the binds of each connection.
pub(crate) struct UpstreamConnection(FramedStream);

/// A listing of an agent's keys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) identities: Vec<Identity>,
    /// Whether every host gets the same keys: `ssh-add -h` restricts a key to some hosts.
    pub(crate) fixed: bool,
}

/// Whether an agent may listen at `path`. If not, `path` is a key file.
pub fn is_agent(path: &Path) -> bool {
    local_ipc::is_socket(path)
}

/// Where an agent listens if `SSH_AUTH_SOCK` is not set: nowhere in particular on Unix.
#[cfg(unix)]
pub fn usual_agent() -> Option<PathBuf> {
    None
}

/// Where an agent listens if `SSH_AUTH_SOCK` is not set: the service of OpenSSH, else Pageant.
#[cfg(windows)]
pub fn usual_agent() -> Option<PathBuf> {
    use local_ipc::windows::pipe;

    let openssh = pipe::path(OPENSSH);
    if pipe::probe(&openssh).is_ok() {
        return Some(openssh);
    }
    // Another user's Pageant is refused when its pipe is opened.
    let names = pipe::names().unwrap_or_default();
    names.iter().find(|name| name.starts_with(PAGEANT)).map(|name| pipe::path(name))
}

impl Upstream {
    /// Checks that something listens there that may be an agent, if possible without connecting to it.
    ///
    /// # Errors
    /// The system's, if not.
    pub(crate) fn look(&self) -> io::Result<()> {
        self.0.check_links()?;
        local_ipc::probe(self.path())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// # Errors
    /// The system's, or `TimedOut`.
    pub(crate) async fn connect(&self) -> io::Result<UpstreamConnection> {
        // Each time: a bridge lives for hours, and a `git pull` may turn the approved socket into a link to another agent.
        self.0.check_links()?;
        let stream = timeout(ANSWER_TIMEOUT, LocalStream::connect(self.path())).await;
        let stream = stream.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(UpstreamConnection(FramedStream::new(stream, MAX_MESSAGE)))
    }

    /// Its keys, and whether some hosts would see others.
    ///
    /// # Errors
    /// The system's, `TimedOut`, or an invalid answer.
    pub(crate) async fn list(&self) -> io::Result<Listed> {
        let mut connection = self.connect().await?;
        let identities = connection.list().await?;
        // No agent says which of its keys are restricted, but one that restricts keys hides them from an unknown host.
        // Agents that do not support binds answer failure, or close the connection: they restrict nothing.
        let to_unknown_host = async {
            let bind = bind_to_unknown_host()?;
            if connection.call(&bind).await?.as_slice() == [number::SUCCESS] {
                connection.list().await
            } else {
                Ok(identities.clone())
            }
        };
        let fixed = match timeout(ANSWER_TIMEOUT, to_unknown_host).await {
            Ok(Ok(to_unknown_host)) => to_unknown_host == identities,
            Ok(Err(_)) | Err(_) => true,
        };
        Ok(Listed { identities, fixed })
    }
}

impl UpstreamConnection {
    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// The system's, or an answer that is empty, too long, or follows unrequested bytes.
    pub(crate) async fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        if self.0.has_unread() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the agent sent more than one answer"));
        }
        self.0.write(message).await?;
        let mut answer = Vec::new();
        if !self.0.read(&mut answer).await? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the agent closed the connection"));
        }
        Ok(answer)
    }

    /// Passes a session-bind on. Success or failure does not matter: the agent decides for itself what it signs.
    ///
    /// # Errors
    /// The system's, `TimedOut`, or an invalid answer: some agents on Windows answer a bind with more bytes than they
    /// announce, and the rest would be taken for the next answer.
    pub(crate) async fn bind(&mut self, message: &[u8]) -> io::Result<()> {
        let answer =
            timeout(ANSWER_TIMEOUT, self.call(message)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if answer.len() == 1 && !self.0.has_unread() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "invalid answer of the agent to a session-bind"))
    }

    /// Its keys on this connection: after a bind, those for that host.
    ///
    /// # Errors
    /// The system's, `TimedOut`, or an invalid answer.
    pub(crate) async fn list(&mut self) -> io::Result<Vec<Identity>> {
        let answer = timeout(ANSWER_TIMEOUT, self.call(&[number::REQUEST_IDENTITIES]))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        identities(&answer)
    }
}

/// A valid session-bind to a host that does not exist.
fn bind_to_unknown_host() -> io::Result<Vec<u8>> {
    let seed: [u8; 32] = random().map_err(io::Error::other)?;
    let session: [u8; 32] = random().map_err(io::Error::other)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(io::Error::other)?;
    let mut key = Writer::inner();
    key.string(b"ssh-ed25519").string(pair.public_key().as_ref());
    let mut signature = Writer::inner();
    signature.string(b"ssh-ed25519").string(pair.sign(&session).as_ref());
    let mut bind = Writer::new(number::EXTENSION);
    bind.string(SESSION_BIND).string(&key.finish()).string(&session).string(&signature.finish()).bool(false);
    Ok(bind.finish())
}

/// The keys in the answer to a request for a list.
///
/// # Errors
/// `Other` for any other answer.
pub(crate) fn identities(answer: &[u8]) -> io::Result<Vec<Identity>> {
    read_identities(answer).map_err(io::Error::other)
}

/// The signature in the answer to a sign request; `None` if the agent refused.
///
/// # Errors
/// `InvalidData` for any other answer.
pub(crate) fn signature(answer: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut reader = Reader::new(answer);
    let read = |reader: &mut Reader<'_>| -> Result<Option<Vec<u8>>, proto::agent::Malformed> {
        match reader.u8()? {
            number::SIGN_RESPONSE => {
                let signature = reader.string()?.to_vec();
                reader.clone().finish()?;
                Ok(Some(signature))
            }
            number::FAILURE => Ok(None),
            _ => Err(proto::agent::Malformed),
        }
    };
    read(&mut reader).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "invalid answer of the agent"))
}
