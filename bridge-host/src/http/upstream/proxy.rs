//! The host's own proxy, on the way to servers.

use std::io;
use std::time::Duration;

use http_message::{AnswerHead, Version};
use proto::Untrusted;
use proto::proxy::{NoProxy, ProxyScheme, ProxyUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ConnectError;
use super::tcp::tcp;

/// Time for the proxy to answer: it resolves the name and connects.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit of the answer to CONNECT, in bytes.
const MAX_ANSWER: usize = 8 << 10;

/// The proxy settings of the host's environment: `https_proxy` before `HTTPS_PROXY`.
#[derive(Debug)]
pub(crate) struct HostProxies {
    proxy: Option<ProxyUrl>,
    exempt: NoProxy,
}

impl HostProxies {
    pub(crate) fn from_env() -> Self {
        let first = |names: [&str; 2]| {
            let values = names.into_iter().filter_map(std::env::var_os);
            values.map(|value| value.to_string_lossy().into_owned()).find(|value| !value.trim().is_empty())
        };
        let proxy = first(["https_proxy", "HTTPS_PROXY"]).unwrap_or_default();
        Self::of(&proxy, &first(["no_proxy", "NO_PROXY"]).unwrap_or_default())
    }

    /// Parses the URL of a proxy, and the list of `NO_PROXY`. Both may be empty.
    pub(crate) fn of(url: &str, exempt: &str) -> Self {
        Self { proxy: ProxyUrl::parse(url), exempt: NoProxy::parse(exempt) }
    }

    /// The proxy on the way to `port` of `host`, unless these are exempt.
    pub(crate) fn for_host(&self, host: &str, port: u16) -> Option<&ProxyUrl> {
        self.proxy.as_ref().filter(|_| !is_loopback(host) && !self.exempt.exempts(host, port))
    }
}

/// As in Go and curl's documentation: this machine is never asked by a proxy.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Connects to `authority` (`host:port`) through `proxy`.
///
/// # Errors
/// [`ConnectError`], which names the proxy without its credentials.
pub(super) async fn connect(proxy: &ProxyUrl, authority: &str) -> Result<TcpStream, ConnectError> {
    let shown = proxy.to_string();
    match proxy.scheme {
        ProxyScheme::Http => {}
        ProxyScheme::Unsupported => return Err(ConnectError::ProxyUnsupported(shown)),
    }
    let unreachable = |error| ConnectError::ProxyUnreachable(shown.clone(), error);
    let mut stream =
        tcp(&proxy.host, proxy.port).await.map_err(|error| unreachable(io::Error::other(error)))?;
    let answer = async {
        stream.write_all(proxy.connect_request(authority).expose()).await?;
        read_answer(&mut stream).await
    };
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(AnswerHead { status: 200..=299, .. })) => Ok(stream),
        Ok(Ok(AnswerHead { status, reason, version: Version::Http10 | Version::Http11, .. })) => {
            let reason = Untrusted::new(String::from_utf8_lossy(&reason));
            Err(ConnectError::ProxyRefused { proxy: shown, status, reason })
        }
        Ok(Err(error)) => Err(unreachable(error)),
        Err(_) => Err(unreachable(io::ErrorKind::TimedOut.into())),
    }
}

/// The proxy's answer, and nothing after it.
async fn read_answer(stream: &mut TcpStream) -> io::Result<AnswerHead> {
    let mut received = Vec::new();
    loop {
        // One byte at a time, so that nothing after the answer is consumed. Answers are short.
        received.push(stream.read_u8().await?);
        let parsed = AnswerHead::parse(&received).map_err(|_| io::ErrorKind::InvalidData);
        match parsed {
            Ok(Some((head, _))) => return Ok(head),
            Ok(None) if received.len() < MAX_ANSWER => {}
            Ok(None) | Err(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn exempt_hosts_and_this_machine_use_no_proxy() {
        let proxies = HostProxies::of("http://user:hunter2@proxy.example:3128", "corp.example");
        assert!(proxies.for_host("npm.example", 443).is_some());
        for direct in ["corp.example", "npm.corp.example", "localhost", "127.0.0.1", "::1"] {
            assert!(proxies.for_host(direct, 443).is_none(), "{direct}");
        }
        assert!(HostProxies::of("", "").for_host("npm.example", 443).is_none());
        assert!(!format!("{proxies:?}").contains("hunter2"));
    }

    /// What `connect` makes of a proxy that answers with these bytes, and what it sent.
    async fn ask(answer: &'static str) -> (Result<(), ConnectError>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let proxy = ProxyUrl::parse(&format!("http://me:hunter2@127.0.0.1:{port}")).unwrap();
        let (connected, request) = tokio::join!(connect(&proxy, "npm.example:443"), serving);
        (connected.map(drop), request)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_and_its_refusal_told() {
        let (connected, request) = ask("HTTP/1.1 200 OK\r\n\r\n").await;
        connected.unwrap();
        assert!(request.starts_with("CONNECT npm.example:443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Proxy-Authorization: Basic bWU6aHVudGVyMg=="), "{request}");
        for (answer, text) in [
            ("HTTP/1.1 407 Who\x20are you\r\n\r\n", "refuses: 407 Who are you"),
            ("SSH-2.0-x\r\n\r\n", "it does not speak HTTP"),
            ("", "cannot reach the host's proxy"),
        ] {
            let error = ask(answer).await.0.unwrap_err();
            assert_eq!(error.word(), "proxy");
            let shown = error.to_string();
            assert!(shown.contains(text) && !shown.contains("hunter2"), "{shown}");
        }
    }
}
