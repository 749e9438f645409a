//! Races the endpoints; the first that proves the pin wins (after RFC 8305).

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::{BridgeConf, Endpoint};
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use crate::connect::candidate::{Candidate, asked, guessed};
use crate::connect::error::{Attempt, Cause, DialError};
use crate::connect::host::Host;
use crate::connect::network::has_only_loopback;
use crate::connect::pin::{PinnedStream, cause_of_io, prove};
use crate::connect::proxy::{self, Proxies};

/// Time between the starts of two attempts: longer than a handshake on one machine takes, so that a near bridge sees
/// one connection, and short enough that fifteen dead addresses before a good one do not matter.
const STAGGER: Duration = Duration::from_millis(12);
/// Time for one endpoint, from its start to its proof.
const PER_ENDPOINT: Duration = Duration::from_millis(4000);
/// Time for an endpoint that nobody named. It is this machine's or its neighbour's, and answers at once or never: a
/// gateway that does not answer must not hold up the error about all the others.
const PER_GUESS: Duration = Duration::from_millis(1500);
/// After this long, people are told what is going on.
const QUIET: Duration = Duration::from_secs(1);

/// Where and how to dial.
pub(crate) struct Dialer {
    tls: Arc<ClientConfig>,
    asked: Vec<Candidate>,
    /// Made when they are needed: a near bridge answers while the routing tables would still be read.
    guessed: OnceLock<Vec<Candidate>>,
    port: u16,
    expiry: Option<u64>,
}

/// An endpoint that answered, and how fast.
pub(crate) struct Answered {
    pub(crate) stream: PinnedStream,
    /// From the first packet to the proof of the pin.
    pub(crate) took: Duration,
}

impl Dialer {
    /// Prepares for `conf`; `named` are the endpoints of `--endpoint`.
    pub(crate) fn new(conf: &BridgeConf, named: &[Endpoint], tls: ClientConfig) -> Self {
        let asked = asked(conf, named, &Proxies::from_env());
        Self { tls: Arc::new(tls), asked, guessed: OnceLock::new(), port: conf.port, expiry: conf.expiry }
    }

    fn guessed(&self) -> &[Candidate] {
        self.guessed.get_or_init(|| guessed(self.port, &self.asked))
    }

    /// The first endpoint that proves the pin; the others are closed without an upgrade.
    ///
    /// # Errors
    /// [`DialError`] with every endpoint's own cause.
    pub(crate) async fn dial(&self) -> Result<PinnedStream, DialError> {
        let began = Instant::now();
        let begin = |(candidate, index)| async move {
            // A timer that has passed still waits for the clock's next millisecond.
            if index > 0 {
                sleep_until(began + STAGGER * index).await;
            }
            // Boxed: a handshake's state is large, and most attempts never begin.
            (index, candidate, Box::pin(self.attempt(candidate)).await)
        };
        let mut turns = 0u32..;
        let mut attempts: FuturesUnordered<_> = self.asked.iter().zip(turns.by_ref()).map(begin).collect();
        let (head_start, quiet) = (sleep(STAGGER), sleep(QUIET));
        tokio::pin!(head_start, quiet);
        let (mut guessing, mut told) = (false, false);
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
                    attempts.extend(self.guessed().iter().zip(turns.by_ref()).map(begin));
                }
                () = &mut quiet, if !told => {
                    told = true;
                    info!("looking for the bridge at {} endpoints …", self.asked.len() + self.guessed().len());
                }
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        let attempts: Vec<Attempt> = failed.into_iter().map(|(_, attempt)| attempt).collect();
        let hint = self.hint(&attempts);
        Err(DialError { attempts, took: began.elapsed(), hint })
    }

    /// Every endpoint, each to its own end: for `test`.
    pub(crate) async fn probe(&self) -> Vec<(&Candidate, Result<Answered, Cause>)> {
        let all = self.asked.iter().chain(self.guessed());
        let all = all.map(|candidate| async move { (candidate, self.attempt(candidate).await) });
        futures_util::future::join_all(all).await
    }

    /// As [`Self::dial`] fails, for attempts made by [`Self::probe`].
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
        } else if any(|cause| {
            matches!(cause, Cause::ProxyRefused(..) | Cause::ProxyUnreachable(_) | Cause::ProxyUnsupported)
        }) {
            "the proxy of HTTPS_PROXY or ALL_PROXY is in the way: NO_PROXY can exempt the bridge's address"
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

    async fn attempt(&self, candidate: &Candidate) -> Result<Answered, Cause> {
        let began = Instant::now();
        let work = async {
            let tcp = connect(candidate).await?;
            prove(Arc::clone(&self.tls), tcp).await
        };
        let limit = if candidate.is_guess() { PER_GUESS } else { PER_ENDPOINT };
        let stream = timeout(limit, work).await.unwrap_or(Err(Cause::TimedOut))?;
        Ok(Answered { stream, took: began.elapsed() })
    }
}

/// What is told about a failed attempt.
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
