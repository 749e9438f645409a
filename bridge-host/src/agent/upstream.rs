//! The agent whose keys are offered: the one behind a socket on this host.
//!
//! Its answers are checked before they go on: it is not an enemy, but what it says ends up with one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proto::agent::{Identity, MAX_MESSAGE, Reader, SESSION_BIND, Writer, number, read_identities};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use crate::random::random;

#[cfg_attr(unix, path = "upstream_unix.rs")]
#[cfg_attr(windows, path = "upstream_windows.rs")]
mod platform;

/// Time for an answer that needs nobody's attention. A signature has no limit: a person may have to touch a key.
const PROMPT: Duration = Duration::from_secs(10);

/// Holds every signature; longer answers pass by it.
const BUFFER: usize = 4 << 10;

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream(pub(crate) PathBuf);

/// One connection to it; it belongs to one connection of a client's, as binds do.
///
/// Buffered: a whole answer is one read, and not one for its length, one for its bytes and one in vain before.
pub(crate) struct UpstreamConnection(BufReader<platform::Stream>);

/// What it offers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its keys.
    pub(crate) identities: Vec<Identity>,
    /// Whether it offers them to every server (`ssh-add -h` restricts a key to some).
    pub(crate) fixed: bool,
}

/// Whether an agent may listen at `path`, which is a file with keys else.
pub fn is_agent(path: &Path) -> bool {
    platform::is_one(path)
}

/// Where an agent listens if `SSH_AUTH_SOCK` does not say it: on Windows the service of OpenSSH, else Pageant.
pub fn usual_agent() -> Option<PathBuf> {
    platform::usual()
}

impl Upstream {
    /// Whether there is something that may be an agent.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn look(&self) -> io::Result<()> {
        platform::look(&self.0)
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Connects.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn connect(&self) -> io::Result<UpstreamConnection> {
        timeout(PROMPT, platform::connect(&self.0))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
            .map(|stream| UpstreamConnection(BufReader::with_capacity(BUFFER, stream)))
    }

    /// Its keys, and whether a server would see others.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub(crate) async fn list(&self) -> io::Result<Listed> {
        let mut connection = self.connect().await?;
        let identities = connection.list().await?;
        // No agent says which of its keys are restricted, but one that restricts keys hides them from a server that
        // it has never heard of. Agents that do not know binds answer otherwise, or hang up: they restrict nothing.
        let elsewhere = async {
            let bind = bind_to_nowhere()?;
            if connection.call(&bind).await?.as_slice() == [number::SUCCESS] {
                connection.list().await
            } else {
                Ok(identities.clone())
            }
        };
        let fixed = match timeout(PROMPT, elsewhere).await {
            Ok(Ok(elsewhere)) => elsewhere == identities,
            Ok(Err(_)) | Err(_) => true,
        };
        Ok(Listed { identities, fixed })
    }
}

impl UpstreamConnection {
    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// The system's, or an answer over the limit.
    pub(crate) async fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        if !self.0.buffer().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it said more than was asked"));
        }
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.0.write_all(&[&length.to_be_bytes(), message].concat()).await?;
        let mut head = [0; 4];
        self.0.read_exact(&mut head).await?;
        let length = u32::from_be_bytes(head) as usize;
        if length == 0 || length > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is no agent's"));
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// Says to which server this connection's client talks.
    ///
    /// # Errors
    /// The system's, or an answer that is none: some of Windows' agents answer this with more bytes than they announce,
    /// and the rest would be taken for the next answer. Yes or no does not matter: it decides for itself what it signs.
    pub(crate) async fn bind(&mut self, message: &[u8]) -> io::Result<()> {
        let answer = timeout(PROMPT, self.call(message)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if answer.len() == 1 && self.0.buffer().is_empty() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "its answer to a bind is no agent's"))
    }

    /// Its keys, on this connection: after a bind, those for that server.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub(crate) async fn list(&mut self) -> io::Result<Vec<Identity>> {
        let answer = timeout(PROMPT, self.call(&[number::REQUEST_IDENTITIES]))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        read_identities(&answer).map_err(io::Error::other)
    }
}

/// A valid session-bind to a server that does not exist.
fn bind_to_nowhere() -> io::Result<Vec<u8>> {
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

/// The signature in the answer to a sign request, written again; `None` if the agent refused.
///
/// # Errors
/// An answer that is neither.
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
    read(&mut reader).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "its answer is no agent's"))
}
