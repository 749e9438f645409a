//! An HTTP client that measures nothing but requests: TLS with rustls, one blocking socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::servers::{Servers, TOKEN};
use crate::Result;

pub(crate) struct Client {
    address: SocketAddr,
    host: &'static str,
    port: u16,
    /// For CONNECT, with the login.
    login: Option<String>,
    /// Whether it has the token itself.
    has_token: bool,
    config: Arc<ClientConfig>,
}

pub(crate) struct Connection {
    tls: StreamOwned<ClientConnection, TcpStream>,
    head: String,
}

impl Client {
    /// Through a proxy with CONNECT.
    pub(crate) fn through(
        address: SocketAddr,
        login: &str,
        host: &'static str,
        port: u16,
        roots: &Path,
    ) -> Result<Self> {
        let mut client = Self::at(address, host, port, roots, false)?;
        client.login = Some(STANDARD.encode(login));
        Ok(client)
    }

    /// At an address where TLS begins at once.
    pub(crate) fn at(
        address: SocketAddr,
        host: &'static str,
        port: u16,
        roots: &Path,
        has_token: bool,
    ) -> Result<Self> {
        let mut store = RootCertStore::empty();
        let roots = CertificateDer::pem_file_iter(roots)?.collect::<Result<Vec<_>, _>>()?;
        store.add_parsable_certificates(roots);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        // Each new connection is a whole handshake.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { address, host, port, login: None, has_token, config: Arc::new(config) })
    }

    /// Straight to the server, with the token.
    pub(crate) fn direct(servers: &Servers, (host, port): (&'static str, u16)) -> Result<Self> {
        Self::at(servers.front.address, host, port, &servers.authority.file(), true)
    }

    /// So many requests, on one connection or on as many.
    pub(crate) fn get(&self, path: &str, requests: usize, open: bool) -> Result<()> {
        let mut connection = self.connect()?;
        for _ in 0..requests {
            if !open {
                connection = self.connect()?;
            }
            connection.get(path)?;
        }
        Ok(())
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        let mut tcp = TcpStream::connect(self.address)?;
        tcp.set_nodelay(true)?;
        let origin = format!("{}:{}", self.host, self.port);
        if let Some(login) = &self.login {
            let head = format!(
                "CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: Basic {login}\r\n\r\n"
            );
            tcp.write_all(head.as_bytes())?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                tcp.read_exact(&mut byte)?;
                answer.push(byte[0]);
            }
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(String::from_utf8_lossy(&answer).into_owned().into());
            }
        }
        let name = ServerName::try_from(self.host)?;
        let tls = ClientConnection::new(Arc::clone(&self.config), name)?;
        let token = if self.has_token { format!("Authorization: Bearer {TOKEN}\r\n") } else { String::new() };
        let head = format!("Host: {origin}\r\n{token}\r\n");
        Ok(Connection { tls: StreamOwned::new(tls, tcp), head })
    }
}

impl Connection {
    /// One GET, whose answer must be 200 with a length.
    pub(crate) fn get(&mut self, path: &str) -> Result<()> {
        self.tls.write_all(format!("GET {path} HTTP/1.1\r\n{}", self.head).as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let length = self.tls.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..length]);
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                if length == 0 {
                    return Err("the connection ended in a head".into());
                }
                continue;
            };
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(head.into());
            }
            let body: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .ok_or("an answer without a length")?
                .trim()
                .parse()?;
            if answer.len() >= end + 4 + body {
                return Ok(());
            }
            if length == 0 {
                return Err("the connection ended in a body".into());
            }
        }
    }
}
