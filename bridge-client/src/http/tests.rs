//! The proxy, with real connections of tools and a bridge that is a few lines of this file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use proto::Untrusted;
use proto::http::{Origin, RuledOrigin};
use proto::limits::MAX_STREAMS;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::admission::Password;
use super::authority::Authority;
use super::listener::{self, Kind, Port};
use super::pool::{Opener, Stream};
use super::relay::Relay;
use super::tool::Service;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::proxy::Proxies;
use crate::connect::stream::Answer;

/// What the bridge does, and what it has seen.
#[derive(Default)]
struct Bridge {
    is_gone: Cell<bool>,
    /// Streams that exist, and the most that did at once.
    open: Cell<usize>,
    most: Cell<usize>,
    opened: Cell<usize>,
    /// The origins of connections, and the request lines on them.
    seen: RefCell<Vec<String>>,
    /// Lets requests for /hold be answered.
    release: Notify,
    is_released: Cell<bool>,
}

#[derive(Clone)]
struct Streams(Rc<Bridge>);

struct FakeStream {
    bridge: Rc<Bridge>,
    received: Vec<u8>,
    /// `None` breaks the stream.
    answers: VecDeque<Option<Answer>>,
    holds: bool,
}

impl Opener for Streams {
    type Stream = FakeStream;

    async fn open(&self) -> Result<FakeStream, ConnectError> {
        tokio::task::yield_now().await;
        if self.0.is_gone.get() {
            return Err(broken().into());
        }
        let bridge = Rc::clone(&self.0);
        bridge.open.set(bridge.open.get() + 1);
        bridge.opened.set(bridge.opened.get() + 1);
        bridge.most.set(bridge.most.get().max(bridge.open.get()));
        Ok(FakeStream { bridge, received: Vec::new(), answers: VecDeque::new(), holds: false })
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.bridge.open.set(self.bridge.open.get() - 1);
    }
}

fn broken() -> SessionError {
    SessionError::Broken("the bridge has ended".to_owned())
}

fn answer(body: &str) -> Option<Answer> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Some(Answer::Bytes(head.into_bytes().into()))
}

impl FakeStream {
    fn answer_request(&mut self, line: &str) {
        self.bridge.seen.borrow_mut().push(line.to_owned());
        let long = || Some(Answer::Bytes(vec![b'x'; 16 << 10].into()));
        let more: Vec<Option<Answer>> = match line.split(' ').nth(1).unwrap_or_default() {
            "/hold" => {
                self.holds = true;
                vec![answer("held"), Some(Answer::Idle)]
            }
            "/finished" => vec![answer("last"), Some(Answer::Finished)],
            "/cut" => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc".to_vec();
                vec![Some(Answer::Bytes(head.into())), None]
            }
            "/broken" => vec![None],
            "/refused" => {
                vec![Some(Answer::Refusal(Untrusted::new("no"))), answer("refused"), Some(Answer::Idle)]
            }
            "/signed" => vec![
                Some(Answer::SignedUrl(b"https://store.example/?sig=1".to_vec())),
                answer("signed"),
                Some(Answer::Idle),
            ],
            "/big" => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n".to_vec();
                let mut all = vec![Some(Answer::Bytes(head.into()))];
                all.extend((0..1024).map(|_| long()));
                all.push(Some(Answer::Idle));
                all
            }
            _ => vec![answer("fine"), Some(Answer::Idle)],
        };
        self.answers.extend(more);
    }
}

impl Stream for FakeStream {
    fn connect(&mut self, origin: &Origin) {
        assert!(self.answers.is_empty() && self.received.is_empty());
        self.bridge.seen.borrow_mut().push(origin.to_string());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
            self.answer_request(head.lines().next().unwrap());
        }
    }

    fn has_room(&self) -> bool {
        true
    }

    async fn flushed(&mut self) -> Result<(), SessionError> {
        Ok(())
    }

    async fn next(&mut self) -> Result<Answer, SessionError> {
        if self.holds {
            while !self.bridge.is_released.get() {
                self.bridge.release.notified().await;
            }
        }
        // As the bridge does: idle only once nothing is left.
        while self.answers.len() > 1 && matches!(self.answers.front(), Some(Some(Answer::Idle))) {
            self.answers.pop_front();
        }
        match self.answers.pop_front() {
            // An idle stream whose bridge has gone.
            None if self.bridge.is_gone.get() => Err(broken()),
            None => pending().await,
            Some(None) => Err(broken()),
            Some(Some(answer)) => Ok(answer),
        }
    }

    async fn close(self) {}
}

struct Running {
    bridge: Rc<Bridge>,
    proxy: SocketAddr,
    mirror: SocketAddr,
    credentials: String,
    root: Vec<u8>,
    signed_urls: super::signed_urls::SignedUrls,
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

/// Runs `test` against a proxy with rules for npm.example and for plain requests to plain.example.
async fn with_proxy<T>(proxies: (Proxies, Proxies), test: impl AsyncFnOnce(&Running) -> T) -> T {
    let ruled = vec![
        RuledOrigin { origin: origin("npm.example:443"), plain: false },
        RuledOrigin { origin: origin("127.0.0.9:8443"), plain: false },
        RuledOrigin { origin: origin("plain.example:443"), plain: true },
    ];
    let bridge = Rc::new(Bridge::default());
    let authority = Authority::mint(ruled.iter().map(|ruled| &ruled.origin)).unwrap();
    let password = Password::new().unwrap();
    let ports = [
        Port::bind(Kind::Proxy).await.unwrap(),
        Port::bind(Kind::Mirror(origin("npm.example:443"))).await.unwrap(),
    ];
    let pair = format!("sb:{}", password.text());
    let credentials = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
    let relay = Relay::new(Streams(Rc::clone(&bridge)));
    let running = Running {
        bridge,
        proxy: ports[0].address().unwrap(),
        mirror: ports[1].address().unwrap(),
        credentials,
        root: authority.root_der().to_vec(),
        signed_urls: relay.signed_urls.clone(),
    };
    let (proxies, plain_proxies) = proxies;
    let service = Service { relay, authority, ruled, password, proxies, plain_proxies };
    tokio::select! {
        result = test(&running) => result,
        never = listener::serve(&ports, &service) => match never {},
        never = service.relay.pool.maintain() => match never {},
    }
}

fn no_proxies() -> (Proxies, Proxies) {
    (Proxies::none(), Proxies::none())
}

impl Running {
    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    /// The head that answers CONNECT, and the connection.
    async fn connect(&self, authority: &str) -> (String, TcpStream) {
        let mut tcp = self.dial().await;
        let request = format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic {}\r\n\r\n",
            self.credentials
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        (read_head(&mut tcp).await, tcp)
    }

    async fn tls(&self, authority: &str, name: &str) -> io::Result<TlsStream<TcpStream>> {
        self.tls_with(authority, name, rustls::ALL_VERSIONS, |_| {}).await
    }

    async fn tls_with(
        &self,
        authority: &str,
        name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        change: impl FnOnce(&mut ClientConfig),
    ) -> io::Result<TlsStream<TcpStream>> {
        let (head, tcp) = self.connect(authority).await;
        assert_eq!(head, "HTTP/1.1 200 Connection established\r\n\r\n");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        change(&mut config);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    fn seen(&self) -> Vec<String> {
        self.bridge.seen.take()
    }
}

/// Byte by byte, so that nothing after it is consumed.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Sends a request, and reads an answer of 4 bytes.
async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: npm.example\r\n\r\n").as_bytes()).await.unwrap();
    let head = read_head(stream).await;
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), String::from_utf8_lossy(&body))
}

#[tokio::test(flavor = "current_thread")]
async fn requests_to_a_ruled_origin_go_to_the_bridge() {
    with_proxy(no_proxies(), async |running| {
        let mut tls = running.tls("NPM.example.:443", "npm.example").await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), None);
        assert_eq!(get(&mut tls, "/a").await, "200 fine");
        assert_eq!(get(&mut tls, "/b").await, "200 fine");
        let expected = ["npm.example:443", "GET /a HTTP/1.1", "npm.example:443", "GET /b HTTP/1.1"];
        assert_eq!(running.seen(), expected);
        // The stream that was kept ready, and the one that is now.
        assert!(running.bridge.opened.get() <= 2);
        let mut by_address = running.tls("127.0.0.9:8443", "127.0.0.9").await.unwrap();
        assert_eq!(get(&mut by_address, "/c").await, "200 fine");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn old_and_plain_tls_is_enough_and_http_2_is_not_spoken() {
    with_proxy(no_proxies(), async |running| {
        let offer = |protocols: &[&str]| {
            let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            move |config: &mut ClientConfig| config.alpn_protocols = protocols
        };
        let names = ("npm.example:443", "npm.example");
        for version in rustls::ALL_VERSIONS {
            let both = offer(&["h2", "http/1.1"]);
            let mut tls = running.tls_with(names.0, names.1, &[version], both).await.unwrap();
            assert_eq!(tls.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(get(&mut tls, "/a").await, "200 fine");
            let no_name = |config: &mut ClientConfig| config.enable_sni = false;
            let mut tls = running.tls_with(names.0, names.1, &[version], no_name).await.unwrap();
            assert_eq!(get(&mut tls, "/a").await, "200 fine");
            let error = running.tls_with(names.0, names.1, &[version], offer(&["h2"])).await.unwrap_err();
            assert!(format!("{error:?}").contains("AlertReceived(NoApplicationProtocol)"), "{error:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_tool_that_names_another_host_in_tls_gets_an_alert() {
    with_proxy(no_proxies(), async |running| {
        let error = running.tls("npm.example:443", "plain.example").await.unwrap_err();
        assert!(format!("{error:?}").contains("AlertReceived(AccessDenied)"), "{error:?}");
        assert!(running.seen().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_stranger_gets_no_tunnel_to_a_ruled_origin() {
    with_proxy(no_proxies(), async |running| {
        // This process is no descendant of itself.
        let mut tcp = running.dial().await;
        let without = "CONNECT npm.example:443 HTTP/1.1\r\nHost: npm.example:443\r\n";
        tcp.write_all(format!("{without}\r\n").as_bytes()).await.unwrap();
        let head = read_head(&mut tcp).await;
        assert!(head.starts_with("HTTP/1.1 407 secrets-bridge: this proxy serves COMMAND"), "{head}");
        assert!(head.contains("\r\nProxy-Authenticate: Basic realm="), "{head}");
        // The same connection, with the password.
        let length: usize =
            head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        tcp.read_exact(&mut vec![0; length]).await.unwrap();
        let with = format!("{without}Proxy-Authorization: Basic {}\r\n\r\n", running.credentials);
        tcp.write_all(with.as_bytes()).await.unwrap();
        assert!(read_head(&mut tcp).await.starts_with("HTTP/1.1 200 "));

        let mut tcp = running.dial().await;
        let wrong =
            format!("{without}Proxy-Authorization: Basic {}\r\n\r\n", running.credentials.to_lowercase());
        tcp.write_all(wrong.as_bytes()).await.unwrap();
        let mut all = String::new();
        tcp.read_to_string(&mut all).await.unwrap();
        assert!(all.starts_with("HTTP/1.1 403 "), "{all}");

        let mut tcp = TcpStream::connect(running.mirror).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", running.mirror);
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        tcp.read_to_string(&mut all).await.unwrap();
        assert!(all.starts_with("HTTP/1.1 403 "), "{all}");
        assert!(running.seen().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_not_a_request_to_a_proxy_is_refused() {
    with_proxy(no_proxies(), async |running| {
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "400"),
            ("CONNECT npm.example HTTP/1.1\r\n\r\n", "400"),
            ("CONNECT npm.example: HTTP/1.1\r\n\r\n", "400"),
            ("CONNECT [npm.example]:443 HTTP/1.1\r\n\r\n", "400"),
            ("CONNECT npm.example:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "400"),
            ("CONNECT npm.example:443\r\n\r\n", "505"),
            ("CONNECT npm.example:443 HTTP/1.1\nHost: npm.example:443\n\n", "400"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "501"),
            ("GET https://npm.example/ HTTP/1.1\r\nHost: npm.example\r\n\r\n", "501"),
            ("GET ftp://npm.example/ HTTP/1.1\r\nHost: npm.example\r\n\r\n", "501"),
            ("GET http://npm.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n", "400"),
            ("GET http://npm.example/ HTTP/1.1\r\n\r\n", "400"),
            ("GET http://npm.example/ HTTP/1.1\r\nHost: npm.example\r\n\r\n", "403"),
            ("GET http://NPM.example.:8080/ HTTP/1.1\r\nHost: npm.example:8080\r\n\r\n", "403"),
            ("GET http://npm.example/ HTTP/1.0\r\n\r\n", "403"),
            ("\x16\x03\x01\x00\x05hello\n", "400"),
        ] {
            let mut tcp = running.dial().await;
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut all = String::new();
            tcp.read_to_string(&mut all).await.unwrap();
            assert_eq!(all.split(' ').nth(1), Some(status), "{request:?} {all}");
            assert!(all.contains("\r\n\r\nsecrets-bridge: "), "{all}");
        }
        // A head that never ends.
        let mut tcp = running.dial().await;
        let endless = vec![b'a'; 17 << 10];
        let _ = tcp.write_all(&endless).await;
        let mut all = String::new();
        tcp.read_to_string(&mut all).await.unwrap();
        assert!(all.starts_with("HTTP/1.1 431 "), "{all}");
        assert!(running.seen().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn http_1_0_gets_a_tunnel_too() {
    with_proxy(no_proxies(), async |running| {
        let mut tcp = running.dial().await;
        let request = format!(
            "CONNECT npm.example:443 HTTP/1.0\r\nProxy-Authorization: Basic {}\r\n\r\n",
            running.credentials
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut tcp).await, "HTTP/1.0 200 Connection established\r\n\r\n");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_that_is_cut_ends_in_a_reset() {
    with_proxy(no_proxies(), async |running| {
        for path in ["/cut", "/broken"] {
            let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: npm.example\r\n\r\n");
            tls.write_all(request.as_bytes()).await.unwrap();
            let error = tls.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{path}");
        }
        // An answer that is complete ends properly, with close_notify: rustls reports anything else.
        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        tls.write_all(b"GET /finished HTTP/1.1\r\nHost: npm.example\r\n\r\n").await.unwrap();
        let mut all = String::new();
        tls.read_to_string(&mut all).await.unwrap();
        assert!(all.ends_with("\r\n\r\nlast"), "{all}");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_bridge_each_request_gets_a_502() {
    with_proxy(no_proxies(), async |running| {
        let mut before = running.tls("npm.example:443", "npm.example").await.unwrap();
        assert_eq!(get(&mut before, "/a").await, "200 fine");
        running.bridge.is_gone.set(true);
        running.bridge.release.notify_waiters();
        // The idle streams break with the bridge.
        while running.bridge.open.get() > 0 {
            running.poke().await;
        }
        let answered = get(&mut before, "/b").await;
        assert!(answered.starts_with("502 secrets-bridge: the request was not sent: "), "{answered}");
        assert!(answered.contains("the bridge has ended"), "{answered}");
        let mut after = running.tls("npm.example:443", "npm.example").await.unwrap();
        assert!(get(&mut after, "/c").await.starts_with("502 "));
    })
    .await;
}

impl Running {
    /// Makes the pool look at its idle streams: a connection that uses one and returns it.
    async fn poke(&self) {
        self.bridge.is_gone.set(false);
        let mut tls = self.tls("npm.example:443", "npm.example").await.unwrap();
        self.bridge.is_gone.set(true);
        let _ = tls.write_all(b"GET / HTTP/1.1\r\nHost: npm.example\r\n\r\n").await;
        let _ = tls.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn more_requests_than_streams_wait_in_line() {
    with_proxy(no_proxies(), async |running| {
        let count = MAX_STREAMS + 40;
        let one = async || {
            let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
            get(&mut tls, "/hold").await
        };
        let all = futures_util::future::join_all((0..count).map(|_| one()));
        let releasing = async {
            // All streams that there may be hold a request.
            while running.bridge.seen.borrow().iter().filter(|line| line.contains("/hold")).count()
                < MAX_STREAMS - 1
            {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            running.bridge.is_released.set(true);
            running.bridge.release.notify_waiters();
        };
        let (answers, ()) = tokio::join!(all, releasing);
        assert!(answers.iter().all(|answer| answer == "200 held"), "{answers:?}");
        assert!(running.bridge.most.get() <= MAX_STREAMS, "{}", running.bridge.most.get());
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn refusals_and_signed_urls_do_not_reach_the_tool() {
    with_proxy(no_proxies(), async |running| {
        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        assert_eq!(get(&mut tls, "/refused").await, "200 refused");
        assert_eq!(get(&mut tls, "/signed").await, "200 signed");
        let urls = running.signed_urls.take();
        assert_eq!(urls.len(), 1);
        assert_eq!(urls[0].expose(), b"https://store.example/?sig=1");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn pipelined_requests_are_answered_in_order() {
    with_proxy(no_proxies(), async |running| {
        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: npm.example\r\n\r\n");
        let all = ["/a", "/signed", "/b"].map(request).concat();
        tls.write_all(all.as_bytes()).await.unwrap();
        let expected = ["fine", "signed", "fine"];
        for body in expected {
            assert!(read_head(&mut tls).await.starts_with("HTTP/1.1 200"));
            let mut read = vec![0; body.len()];
            tls.read_exact(&mut read).await.unwrap();
            assert_eq!(read, body.as_bytes());
        }
        let expected = ["npm.example:443", "GET /a HTTP/1.1", "GET /signed HTTP/1.1", "GET /b HTTP/1.1"];
        assert_eq!(running.seen(), expected);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_tool_that_does_not_read_stops_the_answer() {
    with_proxy(no_proxies(), async |running| {
        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        tls.write_all(b"GET /big HTTP/1.1\r\nHost: npm.example\r\n\r\n").await.unwrap();
        let head = read_head(&mut tls).await;
        assert!(head.contains("16777216"));
        let mut body = vec![0; 16 << 20];
        tls.read_exact(&mut body).await.unwrap();
        assert!(body.iter().all(|byte| *byte == b'x'));
        assert_eq!(get(&mut tls, "/after").await, "200 fine");
    })
    .await;
}

/// A server that sends what it gets back, and its end too.
async fn echo(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        let mut all = Vec::new();
        tcp.read_to_end(&mut all).await?;
        tcp.write_all(&all).await?;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn other_tunnels_go_out_untouched_with_half_closes() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let test = with_proxy(no_proxies(), async |running| {
        // Without a password: it is no more than the tool could do itself.
        let mut tcp = running.dial().await;
        // What the tool sends at once goes on too.
        let request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\nearly ");
        tcp.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut tcp).await.starts_with("HTTP/1.1 200 "));
        tcp.write_all(b"and late").await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut all = String::new();
        tcp.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "early and late");
        assert!(running.seen().is_empty());
    });
    tokio::select! { () = test => {}, ended = echo(server) => ended.unwrap() }
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_reached_is_a_502_with_the_cause() {
    with_proxy(no_proxies(), async |running| {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (head, _) = running.connect(&unused.to_string()).await;
        let expected = format!("HTTP/1.1 502 secrets-bridge: cannot connect to {unused}: Connection refused");
        assert!(head.starts_with(&expected), "{head}");
        let (head, _) = running.connect("name.invalid:443").await;
        assert!(head.starts_with("HTTP/1.1 502 secrets-bridge: cannot resolve name.invalid: "), "{head}");
    })
    .await;
}

/// A proxy that says what it was asked, and what came after.
async fn record(listener: TcpListener, requests: &RefCell<Vec<String>>) -> io::Result<()> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        let head = read_head(&mut tcp).await;
        let is_tunnel = head.starts_with("CONNECT");
        requests.borrow_mut().push(head);
        if is_tunnel {
            tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\nthrough").await?;
        } else {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 5\r\n\r\nplain").await?;
            // Kept open: the answer ends where it says.
            std::mem::forget(tcp);
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_builds_own_proxies_are_used_but_not_for_ruled_origins() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:pw@{}", server.local_addr().unwrap());
    let requests = RefCell::new(Vec::<String>::new());
    let proxies = || (Proxies::of(&url, "exempt.invalid"), Proxies::of(&url, "exempt.invalid"));
    let test = with_proxy(proxies(), async |running| {
        let (head, mut tcp) = running.connect("other.example:443").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut through = [0; 7];
        tcp.read_exact(&mut through).await.unwrap();
        assert_eq!(&through, b"through");
        let asked = requests.take();
        assert!(asked[0].starts_with("CONNECT other.example:443 HTTP/1.1\r\n"), "{asked:?}");
        assert!(asked[0].contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{asked:?}");
        assert!(!asked[0].contains(&running.credentials));

        // The password of the build's proxy is not for others of this loopback.
        let mut tcp = running.dial().await;
        tcp.write_all(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(read_head(&mut tcp).await.starts_with("HTTP/1.1 407 "));

        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        assert_eq!(get(&mut tls, "/a").await, "200 fine");
        let (head, _) = running.connect("a.exempt.invalid:443").await;
        assert!(head.starts_with("HTTP/1.1 502 secrets-bridge: cannot resolve"), "{head}");
        assert!(requests.borrow().is_empty());

        // Plain requests, in absolute form; nothing about this connection goes on.
        let mut tcp = running.dial().await;
        let request = format!(
            "GET http://other.example/a?b HTTP/1.1\r\nHost: OTHER.example\r\nProxy-Authorization: Basic {}\r\n\
             Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nProxy-Connection: keep-alive\r\n\r\n",
            running.credentials
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        tcp.read_to_string(&mut all).await.unwrap();
        let expected = "HTTP/1.1 200 OK\r\nX-End: 2\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain";
        assert_eq!(all, expected);
        let expected = "GET http://other.example/a?b HTTP/1.1\r\nX-End: 2\r\nHost: other.example\r\nConnection: close\r\n\
                        Proxy-Authorization: Basic bWU6cHc=\r\n\r\n";
        assert_eq!(requests.take(), [expected]);
    });
    tokio::select! { () = test => {}, ended = record(server, &requests) => ended.unwrap() }
}

#[tokio::test(flavor = "current_thread")]
async fn plain_requests_of_a_rule_that_lets_them_pass_go_out() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let requests = RefCell::new(Vec::<String>::new());
    let proxies = (Proxies::none(), Proxies::of(&url, ""));
    let test = with_proxy(proxies, async |running| {
        for (version, host) in [("1.1", "Host: plain.example\r\n"), ("1.0", "")] {
            let mut tcp = running.dial().await;
            let request = format!(
                "GET http://plain.example/ HTTP/{version}\r\n{host}\r\nGET http://x/ HTTP/1.1\r\n\r\n"
            );
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut all = String::new();
            tcp.read_to_string(&mut all).await.unwrap();
            assert!(
                all.starts_with(&format!("HTTP/{version} 200 OK\r\n")) && all.ends_with("plain"),
                "{all}"
            );
        }
        assert_eq!(requests.take().len(), 2);
        assert!(running.seen().is_empty());
    });
    tokio::select! { () = test => {}, ended = record(server, &requests) => ended.unwrap() }
}

/// Sends `answer` to every request, and ends the connection.
async fn serve_once(listener: TcpListener, answer: &[u8], body: &RefCell<Vec<u8>>) -> io::Result<()> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        read_head(&mut tcp).await;
        let mut received = vec![0; 64];
        let read = tokio::time::timeout(std::time::Duration::from_millis(50), tcp.read(&mut received)).await;
        received.truncate(read.map_or(0, |read| read.unwrap_or(0)));
        body.borrow_mut().extend(received);
        tcp.write_all(answer).await?;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_plain_answer_is_complete_or_a_reset() {
    let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n";
    for (answer, expected) in [
        (
            &chunked[..],
            Some("200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil close", Some("200 OK\r\nConnection: close\r\n\r\nuntil close")),
        (&chunked[..chunked.len() - 4], None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 3\r\n\r\nabc", None),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nabc", None),
        (b"nonsense", None),
        (b"", None),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let body = RefCell::new(Vec::new());
        let test = with_proxy(no_proxies(), async |running| {
            let mut tcp = running.dial().await;
            let request = format!(
                "POST http://{address}/ HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            );
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut all = String::new();
            let read = tcp.read_to_string(&mut all).await;
            match expected {
                Some(expected) => assert!(all.ends_with(expected), "{all}"),
                None => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{all}"),
            }
        });
        tokio::select! { () = test => {}, ended = serve_once(server, answer, &body) => ended.unwrap() }
        assert!(body.take().starts_with(b"2\r\nab\r\n"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn idle_connections_make_room_for_new_ones() {
    with_proxy(no_proxies(), async |running| {
        let mut idle = Vec::new();
        for _ in 0..401 {
            idle.push(running.dial().await);
        }
        let mut tls = running.tls("npm.example:443", "npm.example").await.unwrap();
        assert_eq!(get(&mut tls, "/a").await, "200 fine");
        // The oldest ones have ended.
        let mut first = idle.remove(0);
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
        let mut last = idle.pop().unwrap();
        let is_open = poll_fn(|context| {
            let mut byte = [0];
            let mut buffer = tokio::io::ReadBuf::new(&mut byte);
            Poll::Ready(std::pin::Pin::new(&mut last).poll_read(context, &mut buffer).is_pending())
        });
        assert!(is_open.await);
    })
    .await;
}
