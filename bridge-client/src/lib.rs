//! The build's side: it finds the conf, dials the bridge it names, and delivers what the bridge gives.
//!
//! The flow, in the order of the files: [`conf_source`] finds the conf; `connect` finds the bridge, proves that it is the
//! one that the conf pins, and opens the connection; `fetch` asks for the secrets, and `delivery` hands them to COMMAND,
//! which `exec` starts. What lives as long as COMMAND is in `exec::prepared`: files, masked output, and an `agent`, with
//! [`ssh::tools`] that know its hosts and keys and call this program back by another name (`ssh::wrapper`), as git does for
//! its credentials ([`git::credential_helper`]). `leak_check` searches what COMMAND wrote. Where there is no conf, secrets
//! may be [`mounted`].

use std::time::Duration;

use proto::agent::AgentId;
use proto::{BridgeConf, Endpoint, Hello, HostMessage, Key, KeyForm, Purpose, tls};

pub mod conf_source;
pub mod git;
pub mod mounted;
pub mod ssh;

mod agent;
mod connect;
mod delivery;
mod error;
mod exec;
mod fetch;
mod leak_check;

pub use agent::AgentError;
pub use connect::error::{Attempt, Cause, ConnectError, DialError, SessionError};
pub use delivery::error::{DeliveryError, FileProblem};
pub use delivery::request::{FileTarget, SecretRequest, Target};
pub use error::ClientError;
pub use exec::child::CommandLine;
pub use exec::error::LaunchError;
pub use exec::prepared::{Launch, Masking, Prepared, Replacement, Safeguards};
pub use exec::private_dir::PrivateDir;
pub use exec::supervisor::{Supervisor, supervise};
pub use fetch::error::{RefusedSecret, RefusedSecrets};
pub use leak_check::{Leak, Leaked, Leaks, Spot};

use agent::AgentSession;
use connect::connection::{Connection, decode};
use connect::dial::{Dialer, attempt_of};
use connect::pin::PinnedStream;
use delivery::collect::Collection;
use delivery::stdout::Stdout;
use fetch::Fetched;

/// A bridge as its conf describes it.
pub struct Client {
    dialer: Dialer,
}

impl Client {
    /// Prepares to dial the bridge of `conf`, first at the endpoints that were `named`.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(conf: &BridgeConf, named: &[Endpoint]) -> Result<Self, ClientError> {
        let tls = tls::client_config(conf.pin, &conf.client_seed)?;
        Ok(Self { dialer: Dialer::new(conf, named, tls) })
    }

    /// `exec`: fetches what `requests` name, and what comes with `agent`. Everything arrives, or nothing is returned.
    /// The bridge is dialled even if nothing is wished for: a dead one must be loud.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prepare(
        &self,
        requests: &[SecretRequest],
        agent: &AgentRequest,
    ) -> Result<Prepared<'_>, ClientError> {
        let mut collection = Collection::new(requests);
        let keys = collection.keys();
        let Fetched { connection, session, agents, agent: offer } =
            fetch::fetch(&self.dialer, &keys, agent.id(), &mut collection).await?;
        let agent = match (agent, offer) {
            (AgentRequest::Required(id) | AgentRequest::IfOffered(id), Some(offer)) => {
                Some(AgentSession::new(&self.dialer, session, id.clone(), connection, offer))
            }
            (AgentRequest::Required(id), None) => {
                connection.close().await;
                return Err(ClientError::NoSuchAgent { id: id.clone(), offered: agents });
            }
            (AgentRequest::IfOffered(_) | AgentRequest::None, _) => {
                connection.close().await;
                None
            }
        };
        Ok(Prepared { collected: collection.finish()?, agent })
    }

    /// `print`: writes the secret's bytes to standard output.
    ///
    /// # Errors
    /// [`ClientError`]; a part may have been written then.
    pub async fn print(&self, form: &KeyForm) -> Result<(), ClientError> {
        let mut stdout = Stdout::open(form.encoding)?;
        let fetched = fetch::fetch(&self.dialer, std::slice::from_ref(&form.key), None, &mut stdout).await?;
        fetched.connection.close().await;
        Ok(stdout.finish()?)
    }

    /// `test`: tries every endpoint, and asks the first bridge found what it offers.
    ///
    /// # Errors
    /// [`ClientError::Dial`] if no endpoint is the bridge, or what the bridge says against us.
    pub async fn test(&self) -> Result<TestReport, ClientError> {
        let began = std::time::Instant::now();
        let mut best: Option<(Duration, PinnedStream)> = None;
        let mut answered = Vec::new();
        let mut failed = Vec::new();
        for (candidate, outcome) in self.dialer.probe().await {
            match outcome {
                Ok(found) => {
                    answered.push(Reached { endpoint: candidate.to_string(), took: found.took });
                    if best.as_ref().is_none_or(|(took, _)| found.took < *took) {
                        best = Some((found.took, found.stream));
                    }
                }
                Err(cause) => failed.push(attempt_of(candidate, cause)),
            }
        }
        let Some((_, stream)) = best else {
            let hint = self.dialer.hint(&failed);
            return Err(DialError { attempts: failed, took: began.elapsed(), hint }.into());
        };
        let mut connection = Connection::open(stream, &hello(Purpose::Test)).await?;
        let payload = connection.next().await?;
        let HostMessage::Offers { keys, agents } = decode(&payload)? else {
            return Err(SessionError::Protocol("no offers").into());
        };
        connection.close().await;
        Ok(TestReport { answered, failed, keys, agents })
    }

    /// `kill`: ends the bridge.
    ///
    /// # Errors
    /// [`ClientError::Dial`] if there is none any more; [`SessionError::Refused`] if it does not permit that.
    pub async fn kill(&self) -> Result<(), ClientError> {
        let stream = self.dialer.dial().await?;
        let mut connection = Connection::open(stream, &hello(Purpose::Kill)).await?;
        let payload = connection.next().await?;
        if decode(&payload)? != HostMessage::Ending {
            return Err(SessionError::Protocol("no answer to kill").into());
        }
        connection.close().await;
        Ok(())
    }
}

/// Which agent COMMAND is to have.
#[derive(Debug, Clone)]
pub enum AgentRequest {
    /// None.
    None,
    /// This one, if the bridge offers it.
    IfOffered(AgentId),
    /// This one, or COMMAND does not start.
    Required(AgentId),
}

impl AgentRequest {
    fn id(&self) -> Option<&AgentId> {
        match self {
            Self::None => None,
            Self::IfOffered(id) | Self::Required(id) => Some(id),
        }
    }
}

/// What `test` found.
#[derive(Debug)]
pub struct TestReport {
    /// Endpoints at which the bridge proved itself.
    pub answered: Vec<Reached>,
    /// The other ones.
    pub failed: Vec<Attempt>,
    /// Keys of the secrets that the bridge offers.
    pub keys: Vec<Key>,
    /// Ids of the agents that it offers.
    pub agents: Vec<AgentId>,
}

/// An endpoint that is the bridge.
#[derive(Debug)]
pub struct Reached {
    /// `host:port`, and the proxy on the way to it.
    pub endpoint: String,
    /// From the first packet to the proof of the pin.
    pub took: Duration,
}

fn hello(purpose: Purpose) -> Hello {
    Hello { purpose, resume: None, keys: Vec::new(), agent: None }
}
