//! A proxy as companies have it: it carries out CONNECT, resolves names itself, and may demand a login.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The proxy. It listens until the test ends.
pub struct CorporateProxy {
    pub address: SocketAddr,
    login: Option<String>,
    shared: Arc<Shared>,
}

struct Shared {
    names: HashMap<String, IpAddr>,
    /// The value of Proxy-Authorization that it demands.
    authorization: Option<String>,
    asked: Mutex<Vec<String>>,
}

impl CorporateProxy {
    /// Resolves these names, and addresses. `login` is `user:password`.
    pub fn start(names: &[(&str, IpAddr)], login: Option<&str>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), names, login)
    }

    /// As [`Self::start`], at an address of this machine that builds reach.
    pub fn start_at(address: IpAddr, names: &[(&str, IpAddr)], login: Option<&str>) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            names: names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect(),
            authorization: login.map(|login| format!("Basic {}", STANDARD.encode(login))),
            asked: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, login: login.map(str::to_owned), shared }
    }

    /// For `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        let login = self.login.as_ref().map(|login| format!("{login}@")).unwrap_or_default();
        format!("http://{login}{}", self.address)
    }

    /// The targets of all CONNECTs so far, as `host:port`; with `!` before it if the login was wrong.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(client.try_clone().ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let target = lines.first()?.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
        let given = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
        });
        let may = self.authorization.is_none() || self.authorization == given;
        let entry = if may { target.clone() } else { format!("!{target}") };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        let refuse = |status: &str| {
            let head = format!(
                "HTTP/1.1 {status}\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = (&client).write_all(head.as_bytes());
        };
        if !may {
            refuse("407 Proxy Authentication Required");
            return None;
        }
        let (host, port) = target.rsplit_once(':')?;
        let address = self.names.get(host).copied().or_else(|| host.parse().ok());
        let server = address.and_then(|address| TcpStream::connect((address, port.parse().ok()?)).ok());
        let Some(server) = server else {
            refuse("502 Bad Gateway");
            return None;
        };
        (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
        let (mut up, down) = (server.try_clone().ok()?, client.try_clone().ok()?);
        thread::spawn(move || {
            // What the reader has buffered belongs to the tunnel.
            let _ = io::copy(&mut reader, &mut up);
            let _ = up.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &server, &mut &down);
        let _ = down.shutdown(Shutdown::Write);
        Some(())
    }
}
