//! A client in memory, a server that follows a script, and a gateway between them.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_policy::Rule;
use proto::{Secret, SessionId};
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::gateway::Gateway;
use super::super::record::Requester;
use super::super::serve::serve;
use super::super::stream_io::{AnswerStream, RequestStream, StreamEnd, StreamInput};
use super::super::upstream::proxy::HostProxies;
use super::super::{HttpCredentialSource, HttpCredentialSpec, HttpCredentials};
use crate::audit::{Audit, AuditTarget};
use crate::ca::testing::TestCa;
use crate::named_file::NamedFile;
use crate::recorder::{Recorder, Summary};
use crate::secrets::source::Source;
use crate::secrets::store::SecretStore;

pub(super) const TOKEN: &str = "npm_hunter2hunter2hunter2";
/// Longer than every time limit of the gateway: a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(900);

/// What the gateway sends on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes(Vec<u8>),
    Idle(u64),
    Finished,
    Refusal(String),
    SignedUrl(Vec<u8>),
}

struct MemoryInput(mpsc::UnboundedReceiver<StreamInput>);

impl RequestStream for MemoryInput {
    async fn next(&mut self) -> Result<StreamInput, StreamEnd> {
        self.0.recv().await.ok_or(StreamEnd::Closed)
    }
}

/// Takes so many messages until the client reads.
struct MemoryOutput(mpsc::Sender<Sent>);

impl MemoryOutput {
    async fn send(&mut self, sent: Sent) -> Result<(), StreamEnd> {
        self.0.send(sent).await.map_err(|_| StreamEnd::Broken)
    }
}

impl AnswerStream for MemoryOutput {
    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        assert!((1..=proto::limits::STREAM_CHUNK).contains(&bytes.len()));
        self.send(Sent::Bytes(bytes.to_vec())).await
    }

    async fn idle(&mut self, received: u64) -> Result<(), StreamEnd> {
        self.send(Sent::Idle(received)).await
    }

    async fn finished(&mut self) -> Result<(), StreamEnd> {
        self.send(Sent::Finished).await
    }

    async fn refusal(&mut self, text: &str) -> Result<(), StreamEnd> {
        self.send(Sent::Refusal(text.to_owned())).await
    }

    async fn signed_url(&mut self, url: &[u8]) -> Result<(), StreamEnd> {
        self.send(Sent::SignedUrl(url.to_vec())).await
    }
}

/// The client's end of a stream.
pub(super) struct Tool {
    input: mpsc::UnboundedSender<StreamInput>,
    pub(super) output: mpsc::Receiver<Sent>,
    ended: JoinHandle<StreamEnd>,
}

impl Tool {
    pub(super) fn connect(&self, origin: &str) {
        self.input.send(StreamInput::Connect(origin.parse().unwrap())).unwrap();
    }

    pub(super) fn send(&self, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(proto::limits::STREAM_CHUNK) {
            // The stream may have ended.
            let _ = self.input.send(StreamInput::Bytes(piece.to_vec()));
        }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Option<Sent> {
        timeout(PATIENCE, self.output.recv()).await.expect("the gateway sends nothing")
    }

    /// All bytes up to the next `idle` or `finished`, or up to the end of the stream, and that message.
    pub(super) async fn answer(&mut self) -> (String, Option<Sent>) {
        let mut bytes = Vec::new();
        loop {
            match self.next().await {
                Some(Sent::Bytes(more)) => bytes.extend_from_slice(&more),
                Some(Sent::Refusal(_) | Sent::SignedUrl(_)) => {}
                end => return (String::from_utf8_lossy(&bytes).into_owned(), end),
            }
        }
    }

    /// All messages up to the next `idle` or `finished`, or up to the end of the stream.
    pub(super) async fn messages(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while let Some(sent) = self.next().await {
            let is_last = matches!(sent, Sent::Idle(_) | Sent::Finished);
            all.push(sent);
            if is_last {
                break;
            }
        }
        all
    }

    /// Closes the stream, and says how the gateway saw it end.
    pub(super) async fn end(self) -> StreamEnd {
        let Self { input, output, ended } = self;
        drop((input, output));
        timeout(PATIENCE, ended).await.expect("the stream does not end").unwrap()
    }

    /// Waits for the gateway to end the stream.
    pub(super) async fn ended(mut self) -> StreamEnd {
        while self.next().await.is_some() {}
        timeout(PATIENCE, self.ended).await.expect("the stream does not end").unwrap()
    }
}

/// A connection that the server has accepted.
pub(super) struct Accepted {
    pub(super) stream: TlsStream<TcpStream>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Accepted {
    /// Reads one head, byte by byte; `None` if the connection has ended.
    pub(super) async fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        self.requests.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub(super) async fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        body
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The gateway may have closed.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Whether these bytes could be written.
    pub(super) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Whether one more byte came.
    pub(super) async fn try_read(&mut self) -> bool {
        self.stream.read_u8().await.is_ok()
    }

    /// Notes something among the requests.
    pub(super) fn note(&self, what: &str) {
        self.requests.lock().unwrap().push(what.to_owned());
    }

    /// Ends the connection with close_notify.
    pub(super) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection as anyone on the path can, without close_notify.
    pub(super) async fn cut(self) {
        let (mut tcp, _) = self.stream.into_inner();
        let _ = tcp.shutdown().await;
    }

    /// Answers each request with this.
    pub(super) async fn always(mut self, answer: &'static str) {
        while self.head().await.is_some() {
            self.write(answer).await;
        }
    }
}

/// What the server has got, or noted.
type Requests = Arc<Mutex<Vec<String>>>;

pub(super) type Script = fn(Accepted) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A gateway with one rule, for `localhost` and the port of a server.
pub(super) struct Scene {
    pub(super) gateway: Arc<Gateway>,
    pub(super) origin: String,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    pub(super) connections: Arc<Mutex<usize>>,
    directory: tempfile::TempDir,
    server: JoinHandle<()>,
    /// A stream of session 1 on which nothing is sent, as a client keeps one: the session's connections live as long.
    _spare: Option<Tool>,
}

impl Scene {
    /// A server that follows `script` on each connection, and a rule with these options.
    pub(super) async fn new(options: &[(&str, Option<&str>)], script: Script) -> Self {
        let ca = TestCa::new();
        let acceptor = TlsAcceptor::from(ca.server("localhost", &[&TLS13, &TLS12]));
        Self::with(ca, acceptor, options, script).await
    }

    /// As [`Self::new`], with records that go to another target.
    pub(super) async fn recorded_in(target: &AuditTarget, script: Script) -> Self {
        let ca = TestCa::new();
        let acceptor = TlsAcceptor::from(ca.server("localhost", &[&TLS13]));
        let recorder = Arc::new(Recorder::new(Audit::open(target).unwrap()));
        Self::changed(ca, acceptor, &[], script, |gateway| gateway.recorder = recorder).await
    }

    pub(super) async fn with(
        ca: TestCa,
        acceptor: TlsAcceptor,
        options: &[(&str, Option<&str>)],
        script: Script,
    ) -> Self {
        Self::changed(ca, acceptor, options, script, |_| {}).await
    }

    async fn changed(
        ca: TestCa,
        acceptor: TlsAcceptor,
        options: &[(&str, Option<&str>)],
        script: Script,
        change: impl FnOnce(&mut Gateway),
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("localhost:{}", listener.local_addr().unwrap().port());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (acceptor, requests) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        script(Accepted { stream, requests }).await;
                    }
                });
            }
        });
        Self::open(origin, ca, options, (requests, connections, server), change)
    }

    /// A rule for an origin that is asked by the host's proxy with this URL.
    pub(super) fn by_proxy(origin: &str, ca: TestCa, url: &str) -> Self {
        let none = (Arc::default(), Arc::default(), tokio::spawn(async {}));
        Self::open(origin.to_owned(), ca, &[], none, |gateway| gateway.proxies = HostProxies::of(url, ""))
    }

    fn open(
        origin: String,
        ca: TestCa,
        options: &[(&str, Option<&str>)],
        (requests, connections, server): (Requests, Arc<Mutex<usize>>, JoinHandle<()>),
        change: impl FnOnce(&mut Gateway),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, &ca.pem).unwrap();
        let mut rule = Rule::new(origin.parse().unwrap());
        for (name, value) in options {
            assert!(rule.option(name, *value).unwrap());
        }
        let source =
            HttpCredentialSource::Own(Source::Literal(Secret::new(format!("{TOKEN}\n").into_bytes())));
        let spec = HttpCredentialSpec { rule, source, ca: Some(NamedFile::typed(ca_file)) };
        let credentials = HttpCredentials::open(vec![spec], &SecretStore::empty()).unwrap();
        let audit = Audit::open(&AuditTarget::File(directory.path().join("audit"))).unwrap();
        let mut gateway = Gateway::new(credentials, Arc::new(Recorder::new(audit)));
        change(&mut gateway);
        let gateway = Arc::new(gateway);
        let mut scene = Self { gateway, origin, requests, connections, directory, server, _spare: None };
        scene._spare = Some(scene.stream(1));
        scene
    }

    /// A stream of the session with this number.
    pub(super) fn stream(&self, session: u8) -> Tool {
        let (input, from_tool) = mpsc::unbounded_channel();
        let (to_tool, output) = mpsc::channel(4);
        let gateway = Arc::clone(&self.gateway);
        let requester = Requester { session: SessionId([session; 16]), peer: "192.0.2.1:1".parse().unwrap() };
        let ended = tokio::spawn(async move {
            serve(&gateway, &requester, MemoryInput(from_tool), MemoryOutput(to_tool)).await
        });
        Tool { input, output, ended }
    }

    /// A stream of the only session, for a tool that has connected to the rule's origin.
    pub(super) fn tool(&self) -> Tool {
        let tool = self.stream(1);
        tool.connect(&self.origin);
        tool
    }

    /// One GET on a stream of its own: the answer, and what ended it.
    pub(super) async fn get(&self, path: &str) -> (String, Option<Sent>) {
        let mut tool = self.tool();
        tool.send(self.request("GET", path, ""));
        tool.answer().await
    }

    /// A request with these further lines of the head, each with its line end.
    pub(super) fn request(&self, method: &str, path: &str, fields: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.origin)
    }

    /// The requests that the server has got.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// The records of the audit, without their times.
    pub(super) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("audit")).unwrap();
        let mut records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for record in &mut records {
            record.as_object_mut().unwrap().remove("time");
        }
        records
    }

    /// How the last permitted request ended: the outcome, and the reason if there is one.
    pub(super) async fn last_outcome(&self) -> String {
        loop {
            let records = self.audit();
            let count = |name: &str, verdict: Option<&str>| {
                let is_one = |record: &&Value| {
                    record["record"] == name && verdict.is_none_or(|verdict| record["verdict"] == verdict)
                };
                records.iter().filter(is_one).count()
            };
            let (granted, answered) = (count("http-request", Some("granted")), count("http-answered", None));
            if granted > 0 && granted == answered {
                let last = records.iter().rfind(|record| record["record"] == "http-answered").unwrap();
                let words = [last["outcome"].as_str(), last["reason"].as_str()];
                return words.into_iter().flatten().collect::<Vec<_>>().join(" ");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the server has got, or noted, so many requests.
    pub(super) async fn wait_for_requests(&self, count: usize) {
        while self.requests.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// From now on nothing listens at the server's port.
    pub(super) async fn stop_server(&self) {
        self.server.abort();
        while !self.server.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn summary(&self) -> Summary {
        self.gateway.recorder.summary()
    }
}
