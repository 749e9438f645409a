//! A bridge with rules for HTTP requests, and builds that use it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::authority::Authority;
use super::names::resolving;
use crate::support::{Bridge, Home, LIMIT, Process, Start as _};

/// The variable with the token.
pub const VARIABLE: &str = "SITE_TOKEN";

/// A token with characters that base64, URLs and JSON write differently. It is no word of any text.
pub const TOKEN: &str = "tk_4nV+q7/Zx?9~wPe=0LmB8sRdYc2Hj";

/// `serve` with rules. The names in them are loopback for it; it trusts the CA of the test for them.
pub struct Ruled {
    pub bridge: Bridge,
}

impl Ruled {
    /// Serves `rules`, each of them `PLACE[,OPTION…]` without a source: it is [`VARIABLE`], with [`TOKEN`].
    pub fn serve(authority: &Authority, rules: &[&str]) -> Self {
        Self::serve_with(authority, rules, &[], &[])
    }

    /// As [`Self::serve`], with further options and variables of `serve`.
    pub fn serve_with(
        authority: &Authority,
        rules: &[&str],
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let home = Home::new();
        let command = Self::command(&home, authority, rules, options, variables);
        Self { bridge: Bridge::start(home, command) }
    }

    /// The `serve` of [`Self::serve_with`].
    pub fn command(
        home: &Home,
        authority: &Authority,
        rules: &[&str],
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Command {
        let mut serve = home.serve(rule_options(authority, rules));
        serve.args(options).env(VARIABLE, TOKEN).envs(variables.iter().copied());
        resolving(home, &names(rules), &serve)
    }

    /// `exec --http OPTIONS -- COMMAND`.
    pub fn exec(&self, options: &[&str], command: &[impl AsRef<OsStr>]) -> Command {
        let mut exec = self.bridge.client(["exec", "--http"]);
        exec.args(options).arg("--").args(command);
        exec
    }

    /// curl as COMMAND. It shows errors, and answers whatever their status.
    pub fn curl(&self, arguments: &[&str]) -> Command {
        let curl = ["curl", "--silent", "--show-error", "--max-time", "50"];
        self.exec(&[], &[curl.as_slice(), arguments].concat())
    }

    /// A COMMAND that waits, and what it got.
    pub fn step(&self) -> Step {
        self.step_with(&[])
    }

    /// As [`Self::step`], with options of `exec`.
    pub fn step_with(&self, options: &[&str]) -> Step {
        let script = "echo \"$https_proxy $SSL_CERT_FILE\"; read -r end";
        let mut exec = self.exec(options, &["sh", "-c", script]);
        let process = exec.stdin(Stdio::piped()).start();
        let line = process.prints_line();
        let (proxy, bundle) = line.split_once(' ').unwrap();
        let (login, address) = proxy.strip_prefix("http://").unwrap().rsplit_once('@').unwrap();
        let roots = CertificateDer::pem_file_iter(bundle).unwrap();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.map(Result::unwrap));
        let address = address.trim_end_matches('/').parse().unwrap();
        Step { process, address, login: login.to_owned(), roots: Arc::new(store) }
    }
}

/// A `--http-credential` for each rule, with the CA of the test.
pub fn rule_options(authority: &Authority, rules: &[&str]) -> Vec<String> {
    let option = |rule: &&str| {
        let (place, options) =
            rule.split_once(',').map_or((*rule, None), |(place, rest)| (place, Some(rest)));
        let mut text = format!("{place}={VARIABLE}");
        if let Some(options) = options {
            write!(text, ",{options}").unwrap();
        }
        write!(text, ",ca={}", authority.file().display()).unwrap();
        ["--http-credential".to_owned(), text]
    };
    rules.iter().flat_map(option).collect()
}

/// The host names in rules, each with loopback's address.
pub fn names<'a>(rules: &[&'a str]) -> Vec<(&'a str, IpAddr)> {
    let host = |rule: &&'a str| {
        let place = rule.split_once(',').map_or(*rule, |(place, _)| place);
        let authority = place.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        host.split(':').next().unwrap_or_default()
    };
    let names = rules.iter().map(host).filter(|host| host.parse::<IpAddr>().is_err());
    names.map(|name| (name, Ipv4Addr::LOCALHOST.into())).collect()
}

/// A COMMAND that waits, with a proxy that tests use in its place.
pub struct Step {
    pub process: Process,
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// `user:password` of the proxy.
    pub login: String,
    roots: Arc<RootCertStore>,
}

/// A TLS connection through the proxy to the origin that it was opened for.
pub struct Tunnel {
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Step {
    /// A connection to the proxy, on which nothing was sent.
    pub fn dial(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).unwrap();
        tcp.set_read_timeout(Some(LIMIT)).unwrap();
        tcp.set_write_timeout(Some(LIMIT)).unwrap();
        tcp
    }

    /// A CONNECT with the password; returns the answer's head.
    pub fn connect(&self, authority: &str) -> (TcpStream, String) {
        let login = STANDARD.encode(&self.login);
        self.connect_with(authority, &format!("Proxy-Authorization: Basic {login}\r\n"))
    }

    /// A CONNECT with these header lines.
    pub fn connect_with(&self, authority: &str, headers: &str) -> (TcpStream, String) {
        let mut tcp = self.dial();
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        let answer = read_head(&mut tcp).unwrap();
        (tcp, answer)
    }

    /// TLS to an origin, `host:port`, verified by the bundle that COMMAND got.
    pub fn tunnel(&self, origin: &str) -> Tunnel {
        let (tcp, answer) = self.connect(origin);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        let host = origin.rsplit_once(':').unwrap().0.to_owned();
        let name = ServerName::try_from(host).unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(config.into(), name).unwrap(), tcp);
        tls.conn.complete_io(&mut tls.sock).unwrap();
        Tunnel { tls }
    }

    /// Sends `request` on a connection of its own, and returns the whole answer: its head, its body, and whether the
    /// connection ended as TLS demands.
    pub fn asks(&self, origin: &str, request: impl AsRef<[u8]>) -> Answer {
        let mut tunnel = self.tunnel(origin);
        // The answer may come, and the connection end, before all of it is sent.
        let _ = tunnel.write_all(request.as_ref());
        tunnel.answer()
    }

    /// Ends COMMAND, and waits for the end of `exec`.
    pub fn end(mut self) -> crate::support::Outcome {
        drop(self.process.stdin.take());
        self.process.ends()
    }
}

/// An answer, as far as it came.
#[derive(Debug)]
pub struct Answer {
    /// Status line and headers; empty if none came.
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body has the length that the head announces, or the last chunk.
    pub complete: bool,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Tunnel {
    /// Reads one answer to a request that is not HEAD.
    pub fn answer(&mut self) -> Answer {
        let Some(head) = read_head(self) else {
            return Answer { head: String::new(), body: Vec::new(), complete: false };
        };
        let mut answer = Answer { head, body: Vec::new(), complete: false };
        if let Some(length) = answer.header("content-length") {
            let length: u64 = length.parse().unwrap();
            let read = Read::take(&mut *self, length).read_to_end(&mut answer.body);
            answer.complete = read.is_ok() && answer.body.len() as u64 == length;
        } else if answer.header("transfer-encoding").is_some() {
            answer.complete = self.chunks(&mut answer.body).is_some();
        } else if answer.status() == 204 || answer.status() == 304 {
            answer.complete = true;
        } else {
            answer.complete = self.read_to_end(&mut answer.body).is_ok();
        }
        answer
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let line = read_line(self)?;
            let length = u64::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
            let before = body.len();
            Read::take(&mut *self, length).read_to_end(body).ok()?;
            if (body.len() - before) as u64 != length {
                return None;
            }
            read_line(self)?;
            if length == 0 {
                return Some(());
            }
        }
    }

    /// What is read until the connection ends; `Err` if that is not as TLS demands.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.read_to_end(&mut rest).map(|_| rest)
    }

    /// The connection below TLS.
    pub fn tcp(&self) -> &TcpStream {
        &self.tls.sock
    }
}

impl Read for Tunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.read(buffer)
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.tls.write(bytes)?;
        self.tls.flush()?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tls.flush()
    }
}

/// Reads up to an empty line; `None` if the connection ends before it.
fn read_head(from: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if from.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn read_line(from: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        if from.read(&mut byte).ok()? == 0 {
            return None;
        }
        line.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// The records that `serve --audit FILE` has written so far.
pub fn audit(home: &Home, name: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(home.path(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
