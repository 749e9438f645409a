//! Where the bridge may be, the attempt to reach it at one address, and what to do if no address leads to it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use proto::tls::ClientTls;
use proto::{BridgeConf, Endpoint};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::connect::candidate::{Candidate, guessed, named};
use crate::connect::error::{Attempt, Cause, DialError};
use crate::connect::host::Host;
use crate::connect::network::has_only_loopback;
use crate::connect::pin::{PinnedStream, cause_of_io, prove};
use crate::connect::proxy::{self, Proxies};

/// Timeout of connecting to an address.
const NAMED_TIMEOUT: Duration = Duration::from_millis(4000);
/// Timeout of connecting to a guessed address. It is on this machine or next to it, and answers at once or never. A gateway
/// that drops packets must not delay the error about all the other addresses.
const GUESSED_TIMEOUT: Duration = Duration::from_millis(1500);
/// Timeout of the TLS handshake. A bridge gives it 3 s: its answer comes first.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(4000);

/// Dials one bridge.
pub(crate) struct Dialer {
    tls: ClientTls,
    named: Vec<Candidate>,
    /// Computed when needed: a near bridge answers before the routing tables would have been read.
    guessed: OnceLock<Vec<Candidate>>,
    port: u16,
    expiry: Option<u64>,
    /// The candidate at which the bridge answered last; [`NONE`] before.
    answered: AtomicUsize,
}

/// No candidate's number.
const NONE: usize = usize::MAX;

/// The connection to a candidate that leads to the bridge.
pub(crate) struct ProvenEndpoint {
    pub(crate) stream: PinnedStream,
    /// From the first packet until the pin was verified.
    pub(crate) took: Duration,
}

impl Dialer {
    /// A dialer for the bridge of `conf`. `endpoints` are those of `--endpoint`.
    pub(crate) fn new(conf: &BridgeConf, endpoints: &[Endpoint], tls: ClientTls) -> Self {
        let named = named(conf, endpoints, &Proxies::from_env());
        Self {
            tls,
            named,
            guessed: OnceLock::new(),
            port: conf.port,
            expiry: conf.expiry,
            answered: AtomicUsize::new(NONE),
        }
    }

    fn guessed(&self) -> &[Candidate] {
        self.guessed.get_or_init(|| guessed(self.port, &self.named))
    }

    /// The candidate number `index`, most likely ones first.
    pub(crate) fn candidate(&self, index: usize) -> Option<&Candidate> {
        match index.checked_sub(self.named.len()) {
            None => self.named.get(index),
            Some(index) => self.guessed().get(index),
        }
    }

    /// How many candidates there are.
    pub(crate) fn candidates(&self) -> usize {
        self.named.len() + self.guessed().len()
    }

    /// The bridge has answered at the candidate number `index`.
    pub(crate) fn set_answered(&self, index: usize) {
        self.answered.store(index, Ordering::Relaxed);
    }

    /// Connects to the bridge where it answered last. `None` if it has not answered yet, or does not answer there any more,
    /// so that the other candidates are worth a try.
    ///
    /// # Errors
    /// [`DialError`] if nothing listens there any more: the bridge has ended.
    pub(crate) async fn reach_again(&self) -> Result<Option<PinnedStream>, DialError> {
        let began = Instant::now();
        let Some(candidate) = self.candidate(self.answered.load(Ordering::Relaxed)) else { return Ok(None) };
        match self.attempt(candidate).await {
            Ok(proven) => Ok(Some(proven.stream)),
            Err(cause @ Cause::Refused) => {
                let attempts = vec![attempt_of(candidate, cause)];
                let hint = self.hint(&attempts);
                Err(DialError { attempts, tries: 1, took: began.elapsed(), hint })
            }
            Err(cause) => {
                debug!("{candidate}: {cause}");
                Ok(None)
            }
        }
    }

    /// Tries the candidates of these numbers, all at once, for `test`.
    pub(crate) async fn probe(&self, indexes: &[usize]) -> Vec<(usize, Result<ProvenEndpoint, Cause>)> {
        let all = indexes.iter().filter_map(|index| Some((*index, self.candidate(*index)?)));
        let all = all.map(|(index, candidate)| async move { (index, self.attempt(candidate).await) });
        futures_util::future::join_all(all).await
    }

    /// What to do about `attempts` that have all failed.
    pub(crate) fn hint(&self, attempts: &[Attempt]) -> Option<String> {
        let any = |is: fn(&Cause) -> bool| attempts.iter().any(|attempt| is(&attempt.cause));
        Some(if has_only_loopback() {
            "only the loopback interface exists here (--network=none?): give this step a network".to_owned()
        } else if let Some(ago) = self.expired_ago() {
            format!(
                "the conf expired {ago} ago by this machine's clock: start a new bridge and pass its conf"
            )
        } else if any(|cause| matches!(cause, Cause::WrongPin)) {
            "the bridge of this conf has ended and another one took its port: pass the conf of the one that runs"
                .to_owned()
        } else if any(|cause| matches!(cause, Cause::UnknownConf)) {
            "pass the conf of the bridge that runs, and use the same version of secrets-bridge on both sides"
                .to_owned()
        } else if any(|cause| {
            matches!(cause, Cause::ProxyRefused(..) | Cause::ProxyUnreachable(_) | Cause::ProxyUnsupported)
        }) {
            "the proxy of HTTPS_PROXY or ALL_PROXY does not lead to the bridge: exempt its address with NO_PROXY"
                .to_owned()
        } else if any(Cause::is_transient) {
            "the bridge may be overloaded, or something on the way ends its connections: docs/REACH.md"
                .to_owned()
        } else {
            "is `serve` still running on the host? docs/REACH.md shows what each builder can reach".to_owned()
        })
    }

    fn expired_ago(&self) -> Option<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let seconds = now.checked_sub(self.expiry?).filter(|seconds| *seconds > 0)?;
        Some(match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        })
    }

    async fn attempt(&self, candidate: &Candidate) -> Result<ProvenEndpoint, Cause> {
        let began = Instant::now();
        let stream = self.prove(self.connect(candidate).await?).await?;
        Ok(ProvenEndpoint { stream, took: began.elapsed() })
    }

    /// Connects to `candidate`, or its proxy.
    pub(crate) async fn connect(&self, candidate: &Candidate) -> Result<TcpStream, Cause> {
        let limit = if candidate.is_guess() { GUESSED_TIMEOUT } else { NAMED_TIMEOUT };
        timeout(limit, connect(candidate)).await.unwrap_or(Err(Cause::TimedOut))
    }

    /// Verifies that the bridge is at the other end of `tcp`.
    pub(crate) async fn prove(&self, tcp: TcpStream) -> Result<PinnedStream, Cause> {
        let proving = prove(&self.tls, tcp);
        timeout(HANDSHAKE_TIMEOUT, proving).await.unwrap_or(Err(Cause::Stalled))
    }
}

/// A failed attempt, for messages.
pub(crate) fn attempt_of(candidate: &Candidate, cause: Cause) -> Attempt {
    Attempt { endpoint: candidate.to_string(), note: candidate.note(), is_guess: candidate.is_guess(), cause }
}

async fn connect(candidate: &Candidate) -> Result<TcpStream, Cause> {
    if let Some(proxy) = &candidate.proxy {
        return proxy::connect(proxy, &candidate.authority()).await;
    }
    match &candidate.host {
        Host::Address(ip) => TcpStream::connect((*ip, candidate.port)).await.map_err(cause_of_io),
        Host::Name(name) => {
            let mut last = Cause::UnknownName;
            let addresses =
                lookup_host((name.as_str(), candidate.port)).await.map_err(|_| Cause::UnknownName)?;
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(tcp) => return Ok(tcp),
                    Err(error) => last = cause_of_io(error),
                }
            }
            Err(last)
        }
    }
}
