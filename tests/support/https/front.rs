//! nginx before real servers: it ends TLS, demands a token, and passes requests without it on to a registry, to git's own
//! server, or serves files.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::authority::Authority;
use crate::support::{Process, Start as _, nginx};

/// How many ports are tried: another process may take one between its choice and nginx's bind.
const ATTEMPTS: usize = 5;

/// What a request needs to be served.
#[derive(Clone, Debug)]
pub enum Login {
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer(String),
    /// `Authorization: Basic …` of user and password.
    Basic(String, String),
    /// A header of its own, with a value.
    Header(String, String),
}

/// Who answers a request that has the login.
#[derive(Clone, Debug)]
pub enum Content {
    /// A plain HTTP server. It sees the host of the request and no login.
    Registry(SocketAddr),
    /// git's own server, for the repositories of [`Front::root`]. It takes pushes.
    Git,
    /// The files below [`Front::root`].
    Files,
    /// Directives of nginx's.
    Directives(String),
}

/// One name at the front, and what is below its paths.
pub struct Site<'a> {
    pub name: &'a str,
    /// The beginning of a path, with a slash at its end.
    pub locations: Vec<(&'a str, Login, Content)>,
}

impl<'a> Site<'a> {
    /// One content for all paths.
    pub fn new(name: &'a str, login: Login, content: Content) -> Self {
        Self { name, locations: vec![("/", login, content)] }
    }
}

/// The server. It is killed when this is dropped.
pub struct Front {
    pub address: SocketAddr,
    nginx: Process,
    _git: Option<Process>,
    directory: TempDir,
}

/// A request that it has answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub host: String,
    /// `GET /path HTTP/1.1`, as it came.
    pub line: String,
    /// Empty if there was none.
    pub authorization: String,
    pub status: u64,
    /// Bytes of the answer's body that were sent.
    pub sent: u64,
    /// The number of the connection, and of the request on it from 1.
    pub connection: (u64, u64),
}

impl Front {
    /// Listens on loopback, at a free port.
    pub fn start(authority: &Authority, sites: &[Site<'_>]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), None, authority, sites)
    }

    /// Listens at `address`, at a free port unless there is one.
    pub fn start_at(address: IpAddr, port: Option<u16>, authority: &Authority, sites: &[Site<'_>]) -> Self {
        Self::with_directives(address, port, authority, sites, "")
    }

    /// As [`Self::start_at`], with directives of `http`.
    pub fn with_directives(
        address: IpAddr,
        port: Option<u16>,
        authority: &Authority,
        sites: &[Site<'_>],
        directives: &str,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let names: Vec<&str> = sites.iter().map(|site| site.name).collect();
        let leaf = authority.leaf(&names);
        fs::write(directory.path().join("leaf.pem"), leaf.certificate_pem()).unwrap();
        fs::write(directory.path().join("leaf.key"), leaf.key_pem()).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let has_git = sites
            .iter()
            .flat_map(|site| &site.locations)
            .any(|(.., content)| matches!(content, Content::Git));
        let git = has_git.then(|| nginx::fcgiwrap(directory.path()));
        for _ in 0..ATTEMPTS {
            let port =
                port.unwrap_or_else(|| TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port());
            let address = SocketAddr::new(address, port);
            fs::write(
                directory.path().join("nginx.conf"),
                configuration(directory.path(), address, sites, directives),
            )
            .unwrap();
            let nginx = nginx::nginx(directory.path()).start();
            if nginx::listens(&nginx) {
                return Self { address, nginx, _git: git, directory };
            }
        }
        panic!("no port stayed free");
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The directory with its files and repositories.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A bare repository below [`Self::root`] that takes pushes, with one commit: these files. Returns its commit.
    pub fn repository(&self, path: &str, files: &[(&str, &str)]) -> String {
        let (bare, work) = (self.root().join(path), self.directory.path().join("work"));
        fs::create_dir_all(&work).unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&work).env("HOME", &work).env("GIT_CONFIG_NOSYSTEM", "1");
            for role in ["AUTHOR", "COMMITTER"] {
                git.env(format!("GIT_{role}_NAME"), "Test")
                    .env(format!("GIT_{role}_EMAIL"), "test@example.com");
            }
            git.args(arguments).outcome().succeeds().text().trim().to_owned()
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        for (name, contents) in files {
            fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
            fs::write(work.join(name), contents).unwrap();
        }
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message=one"]);
        git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
        git(&["--git-dir", bare.to_str().unwrap(), "config", "http.receivepack", "true"]);
        let commit = git(&["rev-parse", "HEAD"]);
        fs::remove_dir_all(&work).unwrap();
        commit
    }

    /// All requests that were answered so far. nginx writes the line of a request once all of its answer is sent, so the
    /// last ones may be missing.
    pub fn answered(&self) -> Vec<Answered> {
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
        whole.lines().map(|line| Answered::from(&serde_json::from_str(line).unwrap())).collect()
    }

    /// Ends the server, and returns all requests.
    pub fn requests(self) -> Vec<Answered> {
        self.nginx.signal(Signal::QUIT);
        self.nginx.exits();
        self.answered()
    }

    /// Kills the server without a word to its clients.
    pub fn sigkill(&self) {
        self.nginx.signal(Signal::KILL);
        self.nginx.exits();
    }
}

impl From<&Value> for Answered {
    fn from(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        let number = |name: &str| value[name].as_u64().unwrap();
        Self {
            host: text("host"),
            line: text("request"),
            authorization: text("authorization"),
            status: number("status"),
            sent: number("sent"),
            connection: (number("connection"), number("number")),
        }
    }
}

impl Login {
    /// Directives that refuse a request without it.
    fn directives(&self) -> String {
        let (variable, value, challenge) = match self {
            Self::None => return String::new(),
            Self::Bearer(token) => ("authorization".to_owned(), format!("Bearer {token}"), "Bearer"),
            Self::Basic(user, password) => {
                let encoded = STANDARD.encode(format!("{user}:{password}"));
                ("authorization".to_owned(), format!("Basic {encoded}"), "Basic realm=\"test\"")
            }
            Self::Header(name, value) => (name.to_lowercase().replace('-', "_"), value.clone(), "Token"),
        };
        // In nginx's strings these would begin a variable, or end the string.
        assert!(!value.contains(['$', '"', '\\', '\'']), "not a token for a test");
        format!(
            "if ($http_{variable} != \"{value}\") {{ add_header WWW-Authenticate '{challenge}' always; return 401; }}\n"
        )
    }

    /// Directives that keep it from the server behind.
    fn removed(&self) -> String {
        match self {
            Self::Header(name, _) => format!("proxy_set_header {name} \"\";"),
            Self::None | Self::Bearer(_) | Self::Basic(..) => {
                "proxy_set_header Authorization \"\";".to_owned()
            }
        }
    }
}

fn configuration(directory: &Path, address: SocketAddr, sites: &[Site<'_>], directives: &str) -> String {
    let root = directory.display();
    let listen = nginx::listen(address.ip(), address.port());
    let mut servers = String::new();
    for Site { name, locations } in sites {
        write!(
            servers,
            "server {{\nlisten {listen} ssl;\nserver_name {name};\n\
             ssl_certificate {root}/leaf.pem;\nssl_certificate_key {root}/leaf.key;\n"
        )
        .unwrap();
        for (path, login, content) in locations {
            let content = match content {
                Content::Registry(behind) => format!(
                    "proxy_pass http://{behind};\nproxy_set_header Host $http_host;\n\
                     proxy_set_header X-Forwarded-Proto https;\nproxy_http_version 1.1;\n\
                     proxy_set_header Connection \"\";\n{}",
                    login.removed()
                ),
                Content::Git => format!("fastcgi_pass unix:{root}/backend;"),
                Content::Files => format!("root {root}/root;"),
                Content::Directives(directives) => directives.clone(),
            };
            writeln!(servers, "location {path} {{\n{}{content}\n}}", login.directives()).unwrap();
        }
        servers.push_str("}\n");
    }
    let has_git =
        sites.iter().flat_map(|site| &site.locations).any(|(.., content)| matches!(content, Content::Git));
    format!(
        r#"{main}
http {{
{temporary}
log_format line escape=json '{{"host":"$http_host","request":"$request","authorization":"$http_authorization","status":$status,"sent":$body_bytes_sent,"connection":$connection,"number":$connection_requests}}';
access_log {root}/access.log line;
client_max_body_size 0;
keepalive_requests 100000;
keepalive_timeout 600s;
{git}
{directives}
{servers}
}}
"#,
        main = nginx::main_directives(directory),
        temporary = nginx::temporary_files(directory),
        git = if has_git { nginx::git_parameters(directory) } else { String::new() },
    )
}
