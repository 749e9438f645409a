//! One connection of a tool to the proxy: what the tool asks for, and whether it may have that.

use std::io;
use std::time::Duration;

use http_message::{BodyLength, MessageError, RequestHead, Target, Version};
use proto::http::{Origin, RuledOrigin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admission::{Addresses, Password};
use super::authority::Authority;
use super::direct::{self, parse_authority};
use super::plain;
use super::pool::Opener;
use super::relay::Relay;
use super::reply::Reply;
use super::slots::Slot;
use super::tunnel;
use crate::connect::proxy::Proxies;

/// Most bytes of a head. That of a request in plain `http://` may have cookies.
const MAX_HEAD: usize = 16 << 10;
/// For how long a tool may take to send a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Most requests on a connection before one is served: a tool asks without a password, and then with it.
const MAX_ATTEMPTS: usize = 4;

/// What the connections of all tools share.
pub(crate) struct Service<O: Opener> {
    pub(crate) relay: Relay<O>,
    pub(crate) authority: Authority,
    pub(crate) ruled: Vec<RuledOrigin>,
    pub(crate) password: Password,
    /// The build's own proxies.
    pub(crate) proxies: Proxies,
    pub(crate) plain_proxies: Proxies,
}

/// What a tool may have.
enum Granted {
    Ruled(Origin),
    /// A tunnel that exists already.
    Direct(TcpStream),
    Plain(RequestHead),
}

/// Serves one connection.
///
/// # Errors
/// If the connection broke.
pub(crate) async fn serve<O: Opener>(
    service: &Service<O>,
    addresses: Addresses,
    mut tcp: TcpStream,
    slot: &Slot,
) -> io::Result<()> {
    let mut received = Vec::new();
    for attempt in 1..=MAX_ATTEMPTS {
        slot.set_evictable(true);
        let head = tokio::select! {
            head = timeout(HEAD_TIMEOUT, read_head(&mut tcp, &mut received)) => head,
            () = slot.evicted() => return Ok(()),
        };
        slot.set_evictable(false);
        let head = match head {
            Ok(Ok(Some(head))) => head,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(HeadError::Io(error))) => return Err(error),
            Ok(Err(HeadError::Malformed(error))) => {
                Reply::malformed(error).finish(&mut tcp, Version::Http11).await;
                return Ok(());
            }
            Err(_) => {
                Reply::new(408, "no request came").finish(&mut tcp, Version::Http11).await;
                return Ok(());
            }
        };
        let version = head.version;
        match service.grant(head, addresses).await {
            Ok(granted) => return service.give(granted, version, received, tcp, slot).await,
            Err(reply) if reply.status == 407 && version == Version::Http11 && attempt < MAX_ATTEMPTS => {
                tcp.write_all(&reply.to_bytes(version, true)).await?;
            }
            Err(reply) => {
                reply.finish(&mut tcp, version).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

enum HeadError {
    Io(io::Error),
    Malformed(MessageError),
}

/// Reads a head, and takes it out of `received`. `None` if the tool has ended the connection before it.
async fn read_head(tcp: &mut TcpStream, received: &mut Vec<u8>) -> Result<Option<RequestHead>, HeadError> {
    loop {
        if let Some((head, length)) = RequestHead::parse(received).map_err(HeadError::Malformed)? {
            received.drain(..length);
            return Ok(Some(head));
        }
        if received.len() >= MAX_HEAD {
            return Err(HeadError::Malformed(MessageError::HeadTooLarge));
        }
        received.reserve(1 << 10);
        if tcp.read_buf(received).await.map_err(HeadError::Io)? == 0 {
            return Ok(None);
        }
    }
}

impl<O: Opener> Service<O> {
    /// What the request gets.
    ///
    /// # Errors
    /// The answer to it otherwise.
    async fn grant(&self, head: RequestHead, addresses: Addresses) -> Result<Granted, Reply> {
        let authority = match &head.target {
            Target::Authority(authority) => authority,
            Target::Absolute { .. } => return Ok(Granted::Plain(head)),
            Target::Path(_) | Target::Asterisk => {
                return Err(Reply::new(400, "this is a proxy and not a server: the target must be a URL"));
            }
        };
        match head.body().map_err(Reply::malformed)? {
            BodyLength::None | BodyLength::Known(0) => {}
            BodyLength::Known(_) | BodyLength::Chunked | BodyLength::UntilClose => {
                return Err(Reply::new(400, "a CONNECT request has no body"));
            }
        }
        // No default port: all tools write it.
        let (host, origin) = parse_authority(authority, 443)
            .filter(|_| authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']')))
            .ok_or_else(|| Reply::new(400, "CONNECT needs HOST:PORT"))?;
        let is_ruled = self.ruled.iter().any(|ruled| ruled.origin == origin);
        let proxy = self.proxies.for_host(&direct::host_of(&host), origin.port());
        // What has no rule can be reached without this proxy, unless the build's own proxy demands credentials.
        if is_ruled || proxy.is_some_and(|proxy| proxy.authorization().is_some()) {
            self.password.admit(&head.headers, addresses)?;
        }
        if is_ruled {
            return Ok(Granted::Ruled(origin));
        }
        let server = Box::pin(direct::connect(&self.proxies, &host, origin.port())).await;
        server.inspect_err(|reply| self.relay.notices.failed(&reply.text)).map(Granted::Direct)
    }

    async fn give(
        &self,
        granted: Granted,
        version: Version,
        received: Vec<u8>,
        mut tcp: TcpStream,
        slot: &Slot,
    ) -> io::Result<()> {
        let established = format!("{} 200 Connection established\r\n\r\n", version.as_str());
        match granted {
            Granted::Ruled(origin) => {
                tcp.write_all(established.as_bytes()).await?;
                let tunnel = tunnel::serve(&self.relay, &self.authority, &origin, (received, tcp), slot);
                // Boxed, as it is large, and most connections that wait do not need it.
                Box::pin(tunnel).await
            }
            Granted::Direct(server) => {
                tcp.write_all(established.as_bytes()).await?;
                Box::pin(direct::pass(&received, tcp, server)).await
            }
            Granted::Plain(head) => {
                Box::pin(plain::serve(&self.ruled, &self.plain_proxies, head, received, tcp)).await
            }
        }
    }
}
