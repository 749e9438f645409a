//! Requests in plain `http://`, in absolute form. npm, pnpm and maven send them to the proxy of `https_proxy`.
//!
//! They go out from the build, without a credential. For a host that has a rule they are refused, unless the rule lets them
//! pass: a tool that got a `http://` URL by mistake would go on without TLS. One request a connection: what follows it is not
//! read.

use std::io;
use std::pin::pin;

use http_message::{
    AnswerHead, BodyLength, BodyReader, CHUNK_END, Headers, LAST_CHUNK, RequestHead, Target, Version,
    chunk_head,
};
use proto::http::{Origin, RuledOrigin};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::direct::{self, parse_authority};
use super::reply::{self, Reply};
use crate::connect::proxy::{self, Proxies};

/// Bytes on their way, for each direction.
const BUFFER: usize = 8 << 10;
/// Fields about one connection (RFC 9110, 7.6.1), and those about proxies. The framing is written anew.
const HOP_BY_HOP: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// A request that may go out.
struct Outward {
    /// As the tool wrote it.
    host: String,
    origin: Origin,
    head: RequestHead,
    length: BodyLength,
}

/// Serves the request `head`. `tool` continues after the bytes `first`.
///
/// # Errors
/// If a connection broke.
pub(crate) async fn serve(
    ruled: &[RuledOrigin],
    proxies: &Proxies,
    head: RequestHead,
    first: Vec<u8>,
    mut tool: TcpStream,
) -> io::Result<()> {
    let version = head.version;
    let method = head.method.clone();
    let answered = match judge(ruled, head) {
        Ok(outward) => send(proxies, outward).await,
        Err(reply) => Err(reply),
    };
    let (server, body) = match answered {
        Ok(sent) => sent,
        Err(reply) => {
            reply.finish(&mut tool, version).await;
            return Ok(());
        }
    };
    let answered = exchange(&mut tool, server, (first, body), &method, version).await;
    match answered {
        Ok(()) => reply::close(&mut tool).await,
        // Without the end of its answer a tool must not believe that it has it.
        Err(_) => tool.set_zero_linger()?,
    }
    answered
}

/// Passes on the body of a request, and the answer to it.
async fn exchange(
    tool: &mut TcpStream,
    (mut from_server, mut to_server): Server,
    (first, body): (Vec<u8>, BodyLength),
    method: &str,
    version: Version,
) -> io::Result<()> {
    let (mut from_tool, mut to_tool) = tool.split();
    let mut answering = pin!(answer(&mut from_server, &mut to_tool, method, version));
    let mut requesting = pin!(pass_body(first, &mut from_tool, &mut to_server, body));
    let mut is_sent = false;
    loop {
        tokio::select! {
            answered = &mut answering => return answered,
            sent = &mut requesting, if !is_sent => match sent {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                // A server that has read enough may end its side, and answer.
                Ok(()) | Err(_) => is_sent = true,
            },
        }
    }
}

/// What of `head` goes out.
///
/// # Errors
/// The answer to the tool.
fn judge(ruled: &[RuledOrigin], mut head: RequestHead) -> Result<Outward, Reply> {
    let Target::Absolute { scheme, authority, .. } = &head.target else {
        return Err(Reply::new(400, "the proxy does not understand this request: its target is not a URL"));
    };
    if scheme != "http" {
        return Err(Reply::new(501, format!("the proxy forwards http:// and CONNECT, not {scheme}://")));
    }
    let Some((host, origin)) = parse_authority(authority, 80) else {
        return Err(Reply::new(400, "invalid host or port in the URL"));
    };
    // Exactly one; HTTP/1.0 knows none.
    let is_missing = head.version == Version::Http10 && !head.headers.contains("Host");
    let named = head.headers.only("Host").and_then(|named| str::from_utf8(named).ok());
    let named = named.and_then(|named| parse_authority(named, 80));
    if !is_missing && named.is_none_or(|(_, named)| named != origin) {
        return Err(Reply::new(400, "the Host header is not the host of the URL"));
    }
    let mut of_host = ruled.iter().filter(|ruled| ruled.origin.host() == origin.host());
    if of_host.any(|ruled| !ruled.plain) {
        return Err(Reply::new(
            403,
            format!(
                "refused: http://{authority} is not encrypted, and the bridge has a rule for its host: use https://, or \
                 the option plain=pass of the rule"
            ),
        ));
    }
    let authority = authority.clone();
    let length = head.body().map_err(Reply::malformed)?;
    remove_hop_by_hop(&mut head.headers);
    head.headers.remove("Host");
    head.headers.push("Host", authority);
    head.headers.push("Connection", "close");
    if length == BodyLength::Chunked {
        head.headers.push("Transfer-Encoding", "chunked");
    }
    Ok(Outward { host, origin, head, length })
}

/// Removes the fields about one connection, and those that Connection names.
fn remove_hop_by_hop(headers: &mut Headers) {
    let named: Vec<String> = headers
        .all("Connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
        .filter(|name| !["host", "content-length"].contains(&name.to_ascii_lowercase().as_str()))
        .collect();
    for name in HOP_BY_HOP.iter().copied().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

type Server = (tokio::net::tcp::OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf);

/// Sends the head of a request.
///
/// # Errors
/// The answer to the tool.
async fn send(proxies: &Proxies, outward: Outward) -> Result<(Server, BodyLength), Reply> {
    let Outward { host, origin, mut head, length } = outward;
    let mut server = match proxies.for_host(&direct::host_of(&host), origin.port()) {
        Some(proxy) => {
            let (proxy_host, port) = proxy::address(&proxy)
                .map_err(|cause| Reply::new(502, format!("cannot use the proxy {proxy}: {cause}")))?;
            if let Some(credentials) = proxy.authorization() {
                head.headers.push("Proxy-Authorization", credentials.expose());
            }
            direct::dial(proxy_host, port).await?
        }
        None => {
            if let Target::Absolute { path, .. } = head.target {
                head.target = Target::Path(path);
            }
            direct::dial(&host, origin.port()).await?
        }
    };
    let sent = server.write_all(&head.write()).await;
    sent.map_err(|error| Reply::new(502, format!("cannot send to {origin}: {error}")))?;
    Ok((server.into_split(), length))
}

/// Passes on a body of a request, whose first bytes are in `received`.
async fn pass_body(
    mut received: Vec<u8>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: BodyLength,
) -> io::Result<()> {
    let mut body = BodyReader::new(length);
    let is_chunked = length == BodyLength::Chunked;
    loop {
        if copy_body(&mut body, &mut received, to, is_chunked).await? {
            return Ok(());
        }
        if fill(from, &mut received).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Writes what of the body is in `received`, and takes it out of there. `true` at its end.
async fn copy_body(
    body: &mut BodyReader,
    received: &mut Vec<u8>,
    to: &mut (impl AsyncWrite + Unpin),
    is_chunked: bool,
) -> io::Result<bool> {
    loop {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let part = body.read(received).map_err(invalid)?;
        if !part.data.is_empty() {
            let head = if is_chunked { chunk_head(part.data.len()) } else { Vec::new() };
            to.write_all(&head).await?;
            to.write_all(part.data).await?;
            to.write_all(if is_chunked { CHUNK_END } else { b"" }).await?;
        }
        let (consumed, end) = (part.consumed, part.end);
        received.drain(..consumed);
        if end {
            to.write_all(if is_chunked { LAST_CHUNK } else { b"" }).await?;
            return Ok(true);
        }
        if consumed == 0 {
            return Ok(false);
        }
    }
}

/// Reads more.
async fn fill(from: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> io::Result<usize> {
    received.reserve(BUFFER);
    from.read_buf(received).await
}

/// Passes on the answer to a request with this method and version.
///
/// # Errors
/// If it is not complete.
async fn answer(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    method: &str,
    version: Version,
) -> io::Result<()> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut received = Vec::new();
    loop {
        let parsed = AnswerHead::parse(&received);
        let Some((mut head, length)) = parsed.map_err(invalid)? else {
            if fill(from, &mut received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            continue;
        };
        received.drain(..length);
        let length = head.body(method).map_err(invalid)?;
        remove_hop_by_hop(&mut head.headers);
        // HTTP/1.0 knows no interim answers, and no chunks.
        let is_interim = (100..200).contains(&head.status);
        if is_interim && (head.status == 101 || version == Version::Http10) {
            if head.status == 101 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            continue;
        }
        let is_chunked = length == BodyLength::Chunked && version == Version::Http11;
        if is_chunked {
            head.headers.push("Transfer-Encoding", "chunked");
        }
        if !is_interim {
            head.headers.push("Connection", "close");
        }
        head.version = version;
        to.write_all(&head.write()).await?;
        if is_interim {
            continue;
        }
        let mut body = BodyReader::new(length);
        loop {
            if copy_body(&mut body, &mut received, to, is_chunked).await? {
                return Ok(());
            }
            if fill(from, &mut received).await? == 0 {
                return if length == BodyLength::UntilClose {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }
}
