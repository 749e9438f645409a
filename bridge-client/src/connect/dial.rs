//! Races the candidate addresses, as RFC 8305 does. The first whose certificate matches the pin wins.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::tls::ClientTls;
use proto::{BridgeConf, Endpoint};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use crate::connect::candidate::{Candidate, guessed, named};
use crate::connect::error::{Attempt, Cause, DialError};
use crate::connect::host::Host;
use crate::connect::network::has_only_loopback;
use crate::connect::pin::{PinnedStream, cause_of_io, prove};
use crate::connect::proxy::{self, Proxies};

/// Time between the starts of two attempts. It is longer than a handshake on one machine takes, so that a near bridge sees
/// one connection, and so short that fifteen dead addresses before a good one do not matter.
const STAGGER: Duration = Duration::from_millis(12);
/// Timeout of an attempt, from its start to the verified pin.
const NAMED_TIMEOUT: Duration = Duration::from_millis(4000);
/// Timeout of an attempt at a guessed address. It is on this machine or next to it, and answers at once or never. A silent
/// gateway must not delay the error about all the other addresses.
const GUESSED_TIMEOUT: Duration = Duration::from_millis(1500);
/// After this long, a message says what is being waited for.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// Dials one bridge.
pub(crate) struct Dialer {
    tls: ClientTls,
    named: Vec<Candidate>,
    /// Computed when needed: a near bridge answers before the routing tables would have been read.
    guessed: OnceLock<Vec<Candidate>>,
    port: u16,
    expiry: Option<u64>,
}

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
        Self { tls, named, guessed: OnceLock::new(), port: conf.port, expiry: conf.expiry }
    }

    fn guessed(&self) -> &[Candidate] {
        self.guessed.get_or_init(|| guessed(self.port, &self.named))
    }

    /// Connects to the first candidate whose certificate matches the pin. The other connections are closed without an upgrade.
    ///
    /// # Errors
    /// [`DialError`] with the cause of each candidate.
    pub(crate) async fn dial(&self) -> Result<PinnedStream, DialError> {
        let began = Instant::now();
        let begin = |(candidate, index)| async move {
            // Even a timer that has expired waits for the next millisecond of the clock.
            if index > 0 {
                sleep_until(began + STAGGER * index).await;
            }
            // Boxed: the state of a handshake is large, and most attempts never begin.
            (index, candidate, Box::pin(self.attempt(candidate)).await)
        };
        let mut numbers = 0u32..;
        let mut attempts: FuturesUnordered<_> = self.named.iter().zip(numbers.by_ref()).map(begin).collect();
        let (head_start, quiet) = (sleep(STAGGER), sleep(QUIET_TIME));
        tokio::pin!(head_start, quiet);
        let (mut guessing, mut reported) = (false, false);
        let mut failed = Vec::new();
        while !guessing || !attempts.is_empty() {
            tokio::select! {
                Some((index, candidate, outcome)) = attempts.next() => match outcome {
                    Ok(answered) => {
                        debug!("{candidate} is the bridge");
                        return Ok(answered.stream);
                    }
                    Err(cause) => {
                        debug!("{candidate}: {cause}");
                        failed.push((index, attempt_of(candidate, cause)));
                    }
                },
                () = &mut head_start, if !guessing => {
                    guessing = true;
                    attempts.extend(self.guessed().iter().zip(numbers.by_ref()).map(begin));
                }
                () = &mut quiet, if !reported => {
                    reported = true;
                    info!("trying {} addresses of the bridge …", self.named.len() + self.guessed().len());
                }
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        let attempts: Vec<Attempt> = failed.into_iter().map(|(_, attempt)| attempt).collect();
        let hint = self.hint(&attempts);
        Err(DialError { attempts, took: began.elapsed(), hint })
    }

    /// Tries every candidate until it succeeds or fails, for `test`.
    pub(crate) async fn probe(&self) -> Vec<(&Candidate, Result<ProvenEndpoint, Cause>)> {
        let all = self.named.iter().chain(self.guessed());
        let all = all.map(|candidate| async move { (candidate, self.attempt(candidate).await) });
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
        let work = async {
            let tcp = connect(candidate).await?;
            prove(&self.tls, tcp).await
        };
        let limit = if candidate.is_guess() { GUESSED_TIMEOUT } else { NAMED_TIMEOUT };
        let stream = timeout(limit, work).await.unwrap_or(Err(Cause::TimedOut))?;
        Ok(ProvenEndpoint { stream, took: began.elapsed() })
    }
}

/// A failed attempt, for messages.
pub(crate) fn attempt_of(candidate: &Candidate, cause: Cause) -> Attempt {
    Attempt { endpoint: candidate.to_string(), note: candidate.note(), cause }
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
