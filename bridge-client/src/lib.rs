//! The build's side: finds the bridge conf, connects to the bridge that it names, and gives its secrets to COMMAND.
//!
//! In the order of a run of `exec`:
//!
//! - [`conf_source`] finds the conf. Where there is none, [`mounted`] reads secrets that the builder mounted.
//! - `connect` races the addresses where the bridge may be, verifies the pin, and opens the connection.
//! - `fetch` asks for the secrets. `delivery` collects them as variables and files, or writes one to standard output.
//! - `exec` starts COMMAND, and owns what lives as long as COMMAND: files, masked output, the agent.
//! - `agent` offers the bridge's SSH agent to COMMAND. [`ssh`] and [`git`] configure these programs for it, and for git
//!   credentials; both make them call this program back.
//! - `http` offers COMMAND a proxy that passes its HTTP requests to the bridge, whose host adds credentials.
//! - `leak_check` searches what COMMAND wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::agent::AgentId;
use proto::http::Origin;
use proto::{BridgeConf, Endpoint, Hello, HostMessage, Key, KeyForm, Purpose, tls};

pub mod accounts;
pub mod conf_source;
pub mod fuzzing;
pub mod git;
pub mod mounted;
pub mod ssh;

mod agent;
mod connect;
mod delivery;
mod error;
mod exec;
mod fetch;
mod http;
mod leak_check;
mod nesting;

/// The part of the tests' harness that says what a test needs, at the path by which its macro finds it.
#[cfg(all(test, target_os = "linux"))]
mod support {
    pub(crate) use super::require;
}
#[cfg(all(test, target_os = "linux"))]
#[path = "../../tests/support/require.rs"]
#[allow(dead_code, clippy::panic, unreachable_pub, reason = "it has the needs of all tests, and fails them")]
mod require;

pub use agent::AgentError;
pub use connect::error::{Attempt, Cause, ConnectError, DialError, SessionError};
pub use delivery::access::{Access, AccessError};
pub use delivery::error::{DeliveryError, FileProblem};
pub use delivery::request::{FileTarget, SecretRequest, Target};
pub use error::ClientError;
pub use exec::child::CommandLine;
pub use exec::error::LaunchError;
#[cfg(unix)]
pub use exec::output::discard_to_end;
pub use exec::prepared::{Launch, Masking, Prepared, Replacement, Safeguards};
pub use exec::private_dir::PrivateDir;
pub use exec::supervisor::{Supervisor, supervise};
pub use fetch::error::{RefusedSecret, RefusedSecrets};
pub use http::{AuthorityError, HttpError, HttpMode, HttpRequest, NoHttpRule};
pub use leak_check::{Leak, Leaked, Leaks, Spot};
pub use nesting::ParentError;

use agent::AgentSession;
use connect::connection::decode;
use connect::dial::ProvenEndpoint;
use connect::dial::{Dialer, attempt_of};
use connect::establish::Established;
use connect::retry::Retries;
use delivery::collect::Collection;
use delivery::stdout::Stdout;
use fetch::{Fetched, Wanted};
use http::HttpSession;

/// A client of the bridge that a conf names.
pub struct Client {
    dialer: Dialer,
}

impl Client {
    /// A client for the bridge of `conf`. It tries the endpoints in `named` first.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(conf: &BridgeConf, named: &[Endpoint]) -> Result<Self, ClientError> {
        let tls = tls::client_config(conf.pin, &conf.client_seed)?;
        Ok(Self { dialer: Dialer::new(conf, named, tls) })
    }

    /// `exec`: fetches the secrets in `requests`, opens the agent, and asks for the origins that have rules for HTTP requests.
    /// Dials the bridge even if `requests` is empty: a bridge that has ended must be an error.
    ///
    /// # Errors
    /// [`ClientError`] if anything that is required is not available.
    pub async fn prepare(
        &self,
        requests: &[SecretRequest],
        agent: &AgentRequest,
        http: &HttpRequest,
    ) -> Result<Prepared<'_>, ClientError> {
        let mut collection = Collection::new(requests);
        let keys = collection.keys();
        let wanted = Wanted { keys: &keys, agent: agent.id(), http: http.is_wanted() };
        let Fetched { connection, redial, agents, agent: offer, origins } =
            fetch::fetch(&self.dialer, nesting::parent()?, wanted, &mut collection).await?;
        let http = match HttpSession::admit(http, &origins) {
            Ok(http) => http,
            Err(error) => {
                connection.close().await;
                return Err(error.into());
            }
        };
        let access = agent.access();
        let mut connection = Some(connection);
        let agent = match (agent, offer) {
            (AgentRequest::Required(id, _) | AgentRequest::IfOffered(id), Some(offer)) => {
                let session = |connection| {
                    AgentSession::new(&self.dialer, redial.clone(), id, connection, offer, access)
                };
                connection.take().map(session)
            }
            (AgentRequest::Required(id, _), None) => {
                if let Some(connection) = connection {
                    connection.close().await;
                }
                return Err(ClientError::NoSuchAgent { id: id.clone(), offered: agents });
            }
            (AgentRequest::IfOffered(_) | AgentRequest::None, _) => None,
        };
        let http = match http {
            // The agent keeps the connection if there is one.
            Some(request) => Some(HttpSession::new(&self.dialer, redial, request, origins, connection)),
            None => {
                if let Some(connection) = connection {
                    connection.close().await;
                }
                None
            }
        };
        Ok(Prepared { collected: collection.finish()?, agent, http })
    }

    /// `print`: writes the bytes of one secret to standard output.
    ///
    /// # Errors
    /// [`ClientError`]. Some of the bytes may have been written by then.
    pub async fn print(&self, form: &KeyForm) -> Result<(), ClientError> {
        let mut stdout = Stdout::open(form.encoding)?;
        let keys = std::slice::from_ref(&form.key);
        let wanted = Wanted { keys, agent: None, http: false };
        let fetched = fetch::fetch(&self.dialer, nesting::parent()?, wanted, &mut stdout).await?;
        fetched.connection.close().await;
        Ok(stdout.finish()?)
    }

    /// `test`: tries every endpoint, and asks the bridge at the fastest one what it offers.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if no endpoint leads to the bridge, or the bridge refuses to answer.
    pub async fn test(&self) -> Result<TestReport, ClientError> {
        let mut retries = Retries::begin();
        let mut fastest: Option<ProvenEndpoint> = None;
        let mut answered = Vec::new();
        let mut failed: BTreeMap<usize, Attempt> = BTreeMap::new();
        let mut open: Vec<usize> = (0..self.dialer.candidates()).collect();
        loop {
            for (index, outcome) in self.dialer.probe(&open).await {
                let Some(candidate) = self.dialer.candidate(index) else { continue };
                match outcome {
                    Ok(found) => {
                        failed.remove(&index);
                        answered.push(ReachedEndpoint { endpoint: candidate.to_string(), took: found.took });
                        if fastest.as_ref().is_none_or(|fastest| found.took < fastest.took) {
                            fastest = Some(found);
                        }
                    }
                    Err(cause) => drop(failed.insert(index, attempt_of(candidate, cause))),
                }
            }
            // If none answered, those that may do so yet.
            open = failed
                .iter()
                .filter(|(_, attempt)| attempt.cause.is_transient())
                .map(|(index, _)| *index)
                .collect();
            if fastest.is_some() || open.is_empty() || !retries.again().await {
                break;
            }
        }
        let failed: Vec<Attempt> = failed.into_values().collect();
        let Some(fastest) = fastest else {
            let hint = self.dialer.hint(&failed);
            let (tries, took) = (retries.tries, retries.took());
            return Err(DialError { attempts: failed, tries, took, hint }.into());
        };
        let hello = Hello::without_session(Purpose::Test);
        let established = self.dialer.establish_over(Some(fastest.stream), &hello, retries).await?;
        let Established { connection, first } = established;
        let HostMessage::Offers { keys, agents, origins } = decode(&first)? else {
            return Err(SessionError::Protocol("the answer to `test` is not a list of offers").into());
        };
        connection.close().await;
        Ok(TestReport { answered, failed, keys, agents, origins })
    }

    /// `kill`: ends the bridge.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if there is no bridge, or with [`SessionError::Refused`] if the bridge forbids it.
    pub async fn kill(&self) -> Result<(), ClientError> {
        let established = self.dialer.establish(&Hello::without_session(Purpose::Kill)).await?;
        let Established { connection, first } = established;
        if decode(&first)? != HostMessage::Ending {
            return Err(SessionError::Protocol("the answer to `kill` does not confirm it").into());
        }
        connection.close().await;
        Ok(())
    }
}

/// The agent that COMMAND is to get.
#[derive(Debug, Clone)]
pub enum AgentRequest {
    None,
    /// This agent if the bridge offers it, otherwise none.
    IfOffered(AgentId),
    /// This agent, with its socket for the user of this access. If the bridge does not offer it, COMMAND does not start.
    Required(AgentId, Access),
}

impl AgentRequest {
    fn id(&self) -> Option<&AgentId> {
        match self {
            Self::None => None,
            Self::IfOffered(id) | Self::Required(id, _) => Some(id),
        }
    }

    /// Who can use the agent.
    fn access(&self) -> Access {
        match self {
            Self::None | Self::IfOffered(_) => Access::own(0o600),
            Self::Required(_, access) => *access,
        }
    }
}

/// The result of [`Client::test`].
#[derive(Debug)]
pub struct TestReport {
    /// Endpoints that lead to the bridge.
    pub answered: Vec<ReachedEndpoint>,
    /// Endpoints that do not.
    pub failed: Vec<Attempt>,
    /// Keys of the secrets that the bridge offers.
    pub keys: Vec<Key>,
    /// Ids of the agents that the bridge offers.
    pub agents: Vec<AgentId>,
    /// Origins for which the bridge has rules for HTTP requests.
    pub origins: Vec<Origin>,
}

/// An endpoint that leads to the bridge.
#[derive(Debug)]
pub struct ReachedEndpoint {
    /// `host:port`, and the proxy on the way to it.
    pub endpoint: String,
    /// From the first packet until the pin was verified.
    pub took: Duration,
}
