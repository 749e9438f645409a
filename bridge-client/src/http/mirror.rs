//! A port on loopback that is one origin in plain HTTP, for tools that use no proxy.
//!
//! The tool's requests name this port as their host: heads are read here and written anew with the host of the origin. Any
//! page in a browser of this machine could send requests here, so that what a browser sends is refused.

use std::io;

use http_message::{BodyLength, BodyReader, CHUNK_END, LAST_CHUNK, RequestHead, Target, Version, chunk_head};
use proto::http::Origin;
use tokio::net::TcpStream;

use super::admission::Addresses;
use super::owner::Owner;
use super::pool::Opener;
use super::relay::{Ending, Passed, Relay, Requests};
use super::reply::{self, Reply};
use super::slots::Slot;

/// Serves a connection to the mirror of `origin`.
pub(crate) async fn serve<O: Opener>(
    relay: &Relay<O>,
    origin: &Origin,
    addresses: Addresses,
    mut tcp: TcpStream,
    slot: &Slot,
) -> io::Result<()> {
    let ending = if addresses.owner() == Owner::Command {
        let mut requests = MirrorRequests::new(origin, addresses.local.port());
        relay.serve(&mut tcp, origin, &mut requests, slot).await
    } else {
        Ending::Reply(Reply::new(403, "this port serves COMMAND of `secrets-bridge exec` only"))
    };
    match ending {
        Ending::Complete => reply::close(&mut tcp).await,
        Ending::Reply(reply) => reply.finish(&mut tcp, Version::Http11).await,
        Ending::Reset => tcp.set_zero_linger()?,
        Ending::Gone => {}
    }
    Ok(())
}

/// The requests of one connection.
struct MirrorRequests {
    /// As in a Host header.
    origin: String,
    /// What a tool may name as its host.
    own: [String; 2],
    /// A head that is not complete.
    received: Vec<u8>,
    /// The body that is being passed on, and whether it is chunked.
    body: Option<(BodyReader, bool)>,
}

impl MirrorRequests {
    fn new(origin: &Origin, port: u16) -> Self {
        let own = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
        Self { origin: origin.short(), own, received: Vec::new(), body: None }
    }

    /// Checks a head and names the origin in it.
    ///
    /// # Errors
    /// The answer to the tool.
    fn rewrite(&self, head: &mut RequestHead) -> Result<BodyLength, Reply> {
        match head.target {
            Target::Path(_) | Target::Asterisk => {}
            Target::Absolute { .. } | Target::Authority(_) => {
                return Err(Reply::new(
                    400,
                    "this port is a server and not a proxy: the target must be a path",
                ));
            }
        }
        let host = head.headers.only("Host").unwrap_or_default();
        if !self.own.iter().any(|own| host.eq_ignore_ascii_case(own.as_bytes())) {
            return Err(Reply::new(403, format!("the Host header must be {}", self.own.join(" or "))));
        }
        // A browser says for whom it asks. Other tools send no Origin, and Sec-Fetch-Site if at all for themselves.
        let is_for_itself = |site: &[u8]| [&b"none"[..], b"same-origin"].contains(&site);
        if head.headers.contains("Origin") || !head.headers.all("Sec-Fetch-Site").all(is_for_itself) {
            return Err(Reply::new(403, "this port does not serve pages in browsers"));
        }
        let length = head.body().map_err(Reply::malformed)?;
        for header in head.headers.iter_mut() {
            if header.name.eq_ignore_ascii_case("Host") {
                header.value = self.origin.clone().into_bytes();
            }
        }
        Ok(length)
    }

    /// Passes on what is complete in `received`.
    fn pass_received(&mut self, passed: &mut Vec<u8>) -> Result<(), Reply> {
        loop {
            match &mut self.body {
                None => {
                    let parsed = RequestHead::parse(&self.received).map_err(Reply::malformed)?;
                    let Some((mut head, consumed)) = parsed else { return Ok(()) };
                    let length = self.rewrite(&mut head)?;
                    self.received.drain(..consumed);
                    passed.extend(head.write());
                    if !length.is_empty() {
                        self.body = Some((BodyReader::new(length), length == BodyLength::Chunked));
                    }
                }
                Some((body, is_chunked)) => {
                    let part = body.read(&self.received).map_err(Reply::malformed)?;
                    if !part.data.is_empty() && *is_chunked {
                        passed.extend(chunk_head(part.data.len()));
                        passed.extend_from_slice(part.data);
                        passed.extend_from_slice(CHUNK_END);
                    } else {
                        passed.extend_from_slice(part.data);
                    }
                    let (consumed, end) = (part.consumed, part.end);
                    self.received.drain(..consumed);
                    if end {
                        passed.extend_from_slice(if *is_chunked { LAST_CHUNK } else { b"" });
                        self.body = None;
                    } else if consumed == 0 {
                        return Ok(());
                    }
                }
            }
            if self.received.is_empty() {
                self.received = Vec::new();
                return Ok(());
            }
        }
    }
}

impl Requests for MirrorRequests {
    fn pass(&mut self, bytes: &[u8]) -> Passed {
        self.received.extend_from_slice(bytes);
        let mut passed = Passed::default();
        passed.refused = self.pass_received(&mut passed.bytes).err();
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> MirrorRequests {
        MirrorRequests::new(&"npm.example:443".parse().unwrap(), 4000)
    }

    fn pass(bytes: &str) -> (String, Option<u16>) {
        let passed = requests().pass(bytes.as_bytes());
        (String::from_utf8(passed.bytes).unwrap(), passed.refused.map(|reply| reply.status))
    }

    #[test]
    fn a_request_gets_the_host_of_the_origin_and_nothing_else() {
        for host in ["127.0.0.1:4000", "localhost:4000", "LOCALHOST:4000"] {
            let request = format!("GET /a%2fb?c HTTP/1.1\r\nhost: {host}\r\nAccept: x\r\n\r\n");
            let expected = "GET /a%2fb?c HTTP/1.1\r\nhost: npm.example\r\nAccept: x\r\n\r\n";
            assert_eq!(pass(&request), (expected.to_owned(), None));
        }
    }

    #[test]
    fn other_hosts_browsers_and_proxy_requests_are_refused() {
        for (host, more, status) in [
            ("npm.example", "", 403),
            ("127.0.0.1", "", 403),
            ("127.0.0.1:4001", "", 403),
            ("localhost.evil.example:4000", "", 403),
            ("127.0.0.1:4000\r\nHost: 127.0.0.1:4000", "", 403),
            ("127.0.0.1:4000", "Origin: null\r\n", 403),
            ("127.0.0.1:4000", "oRiGiN: http://127.0.0.1:4000\r\n", 403),
            ("127.0.0.1:4000", "Sec-Fetch-Site: cross-site\r\n", 403),
            ("127.0.0.1:4000", "Sec-Fetch-Site: same-site\r\n", 403),
            ("127.0.0.1:4000", "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", 403),
            ("127.0.0.1:4000", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("127.0.0.1:4000", "Bad : x\r\n", 400),
        ] {
            let refused = pass(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"));
            assert_eq!(refused, (String::new(), Some(status)), "{host} {more}");
        }
        assert_eq!(pass("GET / HTTP/1.0\r\n\r\n").1, Some(403));
        assert_eq!(pass("GET http://npm.example/ HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n").1, Some(400));
        assert_eq!(pass("CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n").1, Some(400));
    }

    #[test]
    fn bodies_are_passed_on_and_end_where_they_say() {
        let host = "Host: 127.0.0.1:4000\r\n";
        let all = format!(
            "PUT /a HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n\
             3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\nGET /c HTTP/1.1\r\n{host}\r\n"
        );
        let host = "Host: npm.example\r\n";
        let expected = format!(
            "PUT /a HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /c HTTP/1.1\r\n{host}\r\n"
        );
        assert_eq!(pass(&all), (expected, None));
        // Byte by byte it means the same; the pieces of a chunk are chunks of their own.
        let mut requests = requests();
        let mut passed = Vec::new();
        for byte in all.bytes() {
            let part = requests.pass(&[byte]);
            assert_eq!(part.refused, None);
            passed.extend(part.bytes);
        }
        assert!(requests.received.is_empty() && requests.body.is_none());
        let passed = String::from_utf8(passed).unwrap();
        assert!(
            passed.contains("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n1\r\ne\r\n0\r\n\r\nGET /c"),
            "{passed}"
        );
    }

    #[test]
    fn what_came_before_a_bad_request_is_passed_on() {
        let good = "GET /a HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n";
        let (passed, status) = pass(&format!("{good}GET /b HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        assert!(passed.starts_with("GET /a") && !passed.contains("/b"));
        assert_eq!(status, Some(403));
    }
}
