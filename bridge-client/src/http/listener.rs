//! Accepts the connections of tools.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::http::Origin;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::admission::Addresses;
use super::mirror;
use super::pool::Opener;
use super::slots::{Slot, Slots};
use super::tool::{self, Service};

/// Most connections at once. Further ones end one that has no request in progress, or wait in the system's backlog. Each
/// takes some 15 KB, and one or two of the 1024 descriptors that a process usually has.
const MAX_CONNECTIONS: usize = 400;
/// Wait after a failed accept(2). With too many open files it fails at once, and the loop would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A port on loopback.
pub(crate) struct Port {
    listener: TcpListener,
    kind: Kind,
}

/// What a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Proxy,
    /// It mirrors this origin.
    Mirror(Origin),
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn bind(kind: Kind) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener, kind })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that was accepted.
struct Accepted {
    tcp: TcpStream,
    addresses: Addresses,
    kind: Kind,
}

/// Serves `ports` until it is dropped, which ends all connections.
pub(crate) async fn serve<O: Opener>(ports: &[Port], service: &Service<O>) -> Infallible {
    let slots = Rc::new(Slots::default());
    let mut connections = FuturesUnordered::new();
    // One more than there may be: its place is still taken.
    let mut waiting: Option<Accepted> = None;
    let mut retry_at: Option<Instant> = None;
    loop {
        let next = async {
            if let Some(time) = retry_at {
                sleep_until(time).await;
            }
            accept(ports).await
        };
        tokio::select! {
            accepted = next, if waiting.is_none() => {
                retry_at = None;
                match accepted {
                    Ok(accepted) => waiting = Some(accepted),
                    Err(error) => {
                        debug!("cannot accept a connection to the HTTP proxy: {error}");
                        retry_at = Some(Instant::now() + ACCEPT_BACKOFF);
                    }
                }
                if waiting.is_some() && connections.len() >= MAX_CONNECTIONS {
                    slots.evict();
                }
            }
            Some(ended) = connections.next() => {
                if let Err::<(), io::Error>(error) = ended {
                    debug!("a connection to the HTTP proxy ended: {error}");
                }
            }
        }
        if connections.len() < MAX_CONNECTIONS
            && let Some(accepted) = waiting.take()
        {
            connections.push(serve_connection(service, accepted, slots.slot()));
        }
    }
}

/// Accepts a connection of any port.
async fn accept(ports: &[Port]) -> io::Result<Accepted> {
    poll_fn(|context| {
        for port in ports {
            if let Poll::Ready(accepted) = port.listener.poll_accept(context) {
                let accepted = accepted.and_then(|(tcp, peer)| {
                    let addresses = Addresses { peer, local: tcp.local_addr()? };
                    Ok(Accepted { tcp, addresses, kind: port.kind.clone() })
                });
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

async fn serve_connection<O: Opener>(service: &Service<O>, accepted: Accepted, slot: Slot) -> io::Result<()> {
    let Accepted { tcp, addresses, kind } = accepted;
    // Answers come in small pieces, each of which a tool may wait for.
    tcp.set_nodelay(true)?;
    match kind {
        Kind::Proxy => tool::serve(service, addresses, tcp, &slot).await,
        // Boxed, as it is large, and few connections need it.
        Kind::Mirror(origin) => Box::pin(mirror::serve(&service.relay, &origin, addresses, tcp, &slot)).await,
    }
}
