//! What can go wrong between a build and its bridge, told apart by what someone can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use git_credential::GitCredentialsError;
use proto::agent::AgentId;
use proto::{ConfError, Key, RefusalReason, TlsError, Untrusted, UpgradeRefusal, WireError};
use thiserror::Error;

use crate::conf_source::ConfSourceError;
use crate::git::config::GitConfigCount;
use crate::leak_check::Leaked;
use crate::mounted::MountError;
use crate::ssh::tools::SshToolsError;

/// Why an endpoint did not lead to the bridge.
#[derive(Debug, Error)]
pub enum Cause {
    /// Nothing listens there.
    #[error("refused")]
    Refused,
    /// No answer at all.
    #[error("timed out (filtered, or another network)")]
    TimedOut,
    /// The network says that there is no way.
    #[error("unreachable from here")]
    Unreachable,
    /// The name is not known.
    #[error("the name is not known here")]
    UnknownName,
    /// Connected, and closed before the handshake was done.
    #[error("closed the connection at once (its --allow-from, or no bridge)")]
    Closed,
    /// Something answered that does not speak TLS.
    #[error("answered, but not as a bridge does (another service, or a proxy)")]
    NotTls,
    /// A chain without the pinned CA, or without the right to it.
    #[error("another bridge answers there, or a proxy that intercepts TLS (wrong pin)")]
    WrongPin,
    /// The handshake failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
    /// The proxy cannot be reached or does not speak HTTP.
    #[error("the proxy failed: {0}")]
    ProxyUnreachable(io::Error),
    /// The proxy answered with another status than 2xx.
    #[error("the proxy refused ({0} {1})")]
    ProxyRefused(u16, Untrusted),
    /// A proxy URL of another scheme than `http`.
    #[error("only http:// proxies are supported")]
    ProxyUnsupported,
    /// Anything else that the system says.
    #[error("{0}")]
    Io(io::Error),
}

/// One endpoint that was tried, and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint, and the proxy on the way to it.
    pub endpoint: String,
    /// Why it was tried; may be empty.
    pub note: &'static str,
    /// What came of it.
    pub cause: Cause,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.endpoint, self.cause)?;
        if self.note.is_empty() { Ok(()) } else { write!(f, " ({})", self.note) }
    }
}

/// No endpoint led to the bridge.
#[derive(Debug, Error)]
#[error("no endpoint of the bridge answered ({:.1} s){}", .took.as_secs_f64(), listed(.attempts))]
pub struct DialError {
    /// Each endpoint with its own cause, in the order tried.
    pub attempts: Vec<Attempt>,
    /// How long that took.
    pub took: Duration,
    /// What to do about it, if an honest hint exists.
    pub hint: Option<String>,
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

/// Why a conversation with the bridge failed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The bridge is the pinned one and refuses our client key.
    #[error("the bridge does not know this conf (is it of another run?)")]
    UnknownClient,
    /// The bridge answered the upgrade request with a refusal.
    #[error("{}", .0.as_str())]
    Refused(UpgradeRefusal),
    /// The connection broke, or the bridge ended.
    #[error("the connection to the bridge broke: {0}")]
    Broken(String),
    /// Nothing came for too long.
    #[error("the bridge said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The bridge said something that is not in the protocol.
    #[error("the bridge said something that this client does not understand: {0}")]
    Wire(#[from] WireError),
    /// The bridge broke a rule of the conversation.
    #[error("the bridge broke the protocol: {0}")]
    Protocol(&'static str),
}

/// One secret that the bridge does not give.
#[derive(Debug)]
pub struct RefusedSecret {
    /// Which.
    pub key: Key,
    /// Why.
    pub reason: RefusalReason,
    /// What the bridge says about it.
    pub detail: Untrusted,
}

impl fmt::Display for RefusedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// Why a secret that arrived cannot be delivered.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// More bytes than an environment variable may have.
    #[error(
        "{key} has {length} bytes, and an environment variable of this system holds {limit}: \
         use `secrets-bridge print {key}` or `--file`"
    )]
    TooLongForVariable {
        /// Which secret.
        key: Key,
        /// Its length in the form asked for.
        length: u64,
        /// How many would fit.
        limit: u64,
    },
    /// A NUL byte, which ends a variable's value.
    #[error(
        "{key} contains a NUL byte, which no environment variable can hold: use `secrets-bridge print {key}` or `--file`"
    )]
    NulInVariable {
        /// Which secret.
        key: Key,
    },
    /// Bytes that this system's variables cannot hold.
    #[error(
        "{key} is not UTF-8, which environment variables of this system must be: use `secrets-bridge print {key}`"
    )]
    NotTextForVariable {
        /// Which secret.
        key: Key,
    },
    /// No text of git credentials.
    #[error("{key} does not hold git credentials: {problem}")]
    NotGit {
        /// Which secret.
        key: Key,
        /// What is wrong with it.
        problem: GitCredentialsError,
    },
    /// A text without one.
    #[error("{key} holds no git credential for https")]
    NoGitCredential {
        /// Which secret.
        key: Key,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// A file that COMMAND wants cannot be there.
    #[error("cannot deliver {key} as a file: {problem}")]
    File {
        /// Which secret.
        key: Key,
        /// Why not.
        problem: FileProblem,
    },
}

/// Why a file cannot be where COMMAND wants it.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// No directory that is in memory.
    #[error(
        "there is no storage in memory (/dev/shm, /run and /tmp are none), and a secret must not reach the image's \
         file system"
    )]
    NoMemory,
    /// `~` without a home.
    #[error("there is no home directory for ~")]
    NoHome,
    /// Something is there.
    #[error("{} exists (`replace` puts it aside until COMMAND has ended)", .0.display())]
    Exists(PathBuf),
    /// A step of putting it there failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    Place {
        /// The step.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its bytes cannot be stored.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Everything that can fail before COMMAND starts, and what it may have left behind.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No conf, or no usable one.
    #[error(transparent)]
    ConfSource(#[from] ConfSourceError),
    /// The conf cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The bridge was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The conversation failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Secrets that are not given.
    #[error("{}", refused(.0))]
    Refused(Vec<RefusedSecret>),
    /// Secrets that cannot be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// A conf given as text elsewhere.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// There is no bridge, and the builder mounted no secret of that name either.
    #[error("{no_conf}\nand {key} is not mounted: {problem}")]
    NeitherConfNorMount {
        /// Which secret.
        key: Key,
        /// What is wrong with its mount.
        problem: MountError,
        /// Where a conf was looked for.
        no_conf: ConfSourceError,
    },
    /// The agent asked for is not offered.
    #[error("the bridge offers no SSH agent {id} ({})", offered_agents(.offered))]
    NoSuchAgent {
        /// Which one.
        id: AgentId,
        /// Those that it offers.
        offered: Vec<AgentId>,
    },
    /// The agent's socket, or what belongs to it, cannot be made here.
    #[error("cannot offer the SSH agent to COMMAND: {0}")]
    AgentSocket(io::Error),
    /// Signals cannot be handled, or no directory made, for what has to live as long as COMMAND.
    #[error("cannot prepare for COMMAND: {0}")]
    Prepare(io::Error),
    /// git cannot be told whom to ask for credentials.
    #[error(transparent)]
    GitConfig(#[from] GitConfigCount),
    /// ssh and git cannot be told what comes with the agent.
    #[error(transparent)]
    SshTools(#[from] SshToolsError),
    /// COMMAND has succeeded, and wrote secrets down.
    #[error(transparent)]
    Leaked(#[from] Leaked),
    /// COMMAND has succeeded, and nobody knows what it wrote down.
    #[error("the leak check failed: {0}")]
    LeakCheck(io::Error),
}

fn offered_agents(agents: &[AgentId]) -> String {
    match agents {
        [] => "it offers none".to_owned(),
        some => format!("it offers {}", some.iter().map(AgentId::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn refused(secrets: &[RefusedSecret]) -> String {
    match secrets {
        [one] => one.to_string(),
        many => {
            let lines: String = many.iter().map(|secret| format!("\n  {secret}")).collect();
            format!("{} secrets are not to be had{lines}", many.len())
        }
    }
}

impl ClientError {
    /// What to do about it, if an honest hint exists.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dial(error) => error.hint.clone(),
            Self::ConfSource(ConfSourceError::NotFound(_)) | Self::NeitherConfNorMount { .. } => Some(
                "pass the conf that `secrets-bridge serve` printed: `docker build --build-arg FTP_PROXY …`"
                    .into(),
            ),
            Self::Refused(secrets)
                if secrets.iter().any(|secret| secret.reason == RefusalReason::Unknown) =>
            {
                Some("`secrets-bridge test` lists the keys that the bridge offers".into())
            }
            Self::Session(SessionError::Broken(_) | SessionError::UnknownClient) => {
                Some("is `serve` still running on the host?".into())
            }
            Self::NoSuchAgent { .. } => {
                Some("on the host: `secrets-bridge serve -A`, or `--ssh ID=SOCKET`".into())
            }
            Self::Leaked(_) => Some(Leaked::hint().into()),
            Self::AgentSocket(_)
            | Self::Prepare(_)
            | Self::GitConfig(_)
            | Self::LeakCheck(_)
            | Self::SshTools(_)
            | Self::ConfSource(_)
            | Self::Tls(_)
            | Self::Session(_)
            | Self::Refused(_)
            | Self::Delivery(_)
            | Self::Conf(_) => None,
        }
    }
}
