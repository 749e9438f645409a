//! A real git server over https: nginx with basic authentication, in front of `git http-backend`, under a throwaway CA.
//!
//! nginx runs as one process and has logged every request when it ends, so a test reads the requests from its log
//! afterwards.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::https::authority::Authority;
use crate::support::require::HTTPS_SERVER;
use crate::support::{Process, Start as _, nginx};

/// How many ports are tried: another process may take one between its choice and nginx's bind.
const ATTEMPTS: usize = 5;

/// A user who may read and write everything below a path.
#[derive(Clone, Copy)]
pub struct Account {
    /// `/org/`, or with a repository's name.
    pub path: &'static str,
    pub user: &'static str,
    pub password: &'static str,
}

/// The server. It is killed when this is dropped.
pub struct GitServer {
    pub port: u16,
    nginx: Process,
    _backend: Process,
    files: TempDir,
}

/// A request that the server has answered.
#[derive(Debug)]
pub struct Request {
    /// `GET`, and the path with its query.
    pub line: String,
    /// The `Authorization` header; empty if there was none.
    pub authorization: String,
    /// The user that logged in; empty without a login.
    pub user: String,
    pub status: u64,
}

/// A bare repository of the server.
pub struct Repository {
    pub commit: String,
}

impl GitServer {
    /// Listens at `address` with a certificate for `names`.
    ///
    /// # Panics
    ///
    /// If a program that it needs is missing.
    pub fn start(address: IpAddr, names: &[&str], accounts: &[Account]) -> Self {
        Self::with_redirect(address, names, accounts, None)
    }

    /// As [`Self::start`]. Paths below `/moved/` are redirected to the same paths below the URL `redirect`, and so are
    /// paths below `/moved-behind-login/` after a login with the first account.
    pub fn with_redirect(
        address: IpAddr,
        names: &[&str],
        accounts: &[Account],
        redirect: Option<&str>,
    ) -> Self {
        HTTPS_SERVER.assert();
        let files = TempDir::new().unwrap();
        certify(files.path(), names);
        for (index, Account { user, password, .. }) in accounts.iter().enumerate() {
            // In plain text a colon would end the password for nginx.
            let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
            let line = format!("{user}:{{SHA}}{}\n", STANDARD.encode(hash));
            fs::write(files.path().join(format!("account{index}")), line).unwrap();
        }
        let backend = nginx::fcgiwrap(files.path());
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
            let configuration = configuration(files.path(), address, port, accounts, redirect);
            fs::write(files.path().join("nginx.conf"), configuration).unwrap();
            let nginx = nginx::nginx(files.path()).start();
            if nginx::listens(&nginx) {
                return Self { port, nginx, _backend: backend, files };
            }
        }
        panic!("no port stayed free");
    }

    /// The certificate of its CA.
    pub fn ca(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// `https://HOST:PORT/PATH`.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}/{path}", self.port)
    }

    /// A bare repository at `path` with one commit: a `file` that contains its path, `files` with their contents, and a
    /// submodule for each name and URL.
    pub fn repository(
        &self,
        path: &str,
        files: &[(&str, &str)],
        submodules: &[(&str, &Repository, &str)],
    ) -> Repository {
        let (bare, work) = (self.files.path().join("root").join(path), self.files.path().join("work"));
        let git = |arguments: &[&str]| {
            let mut git = isolated_git(&work);
            git.args(arguments).outcome().succeeds().text().trim().to_owned()
        };
        fs::create_dir_all(&work).unwrap();
        git(&["init", "--quiet", "--initial-branch=main"]);
        fs::write(work.join("file"), format!("{path}\n")).unwrap();
        for (name, contents) in files {
            fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
            fs::write(work.join(name), contents).unwrap();
        }
        let mut modules = String::new();
        for (name, repository, url) in submodules {
            write!(modules, "[submodule {name:?}]\n\tpath = {name}\n\turl = {url}\n").unwrap();
            let link = format!("160000,{},{name}", repository.commit);
            git(&["update-index", "--add", "--cacheinfo", &link]);
        }
        fs::write(work.join(".gitmodules"), modules).unwrap();
        git(&["add", "file", ".gitmodules"]);
        files.iter().for_each(|(name, _)| drop(git(&["add", *name])));
        git(&["commit", "--quiet", "--message=one"]);
        git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
        let commit = git(&["rev-parse", "HEAD"]);
        fs::remove_dir_all(&work).unwrap();
        Repository { commit }
    }

    /// Ends the server, and returns all requests.
    pub fn requests(self) -> Vec<Request> {
        self.nginx.signal(Signal::QUIT);
        self.nginx.exits();
        let log = fs::read_to_string(self.files.path().join("access.log")).unwrap();
        log.lines().map(|line| Request::from(&serde_json::from_str(line).unwrap())).collect()
    }
}

impl From<&Value> for Request {
    fn from(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        Self {
            line: text("request"),
            authorization: text("authorization"),
            user: text("user"),
            status: value["status"].as_u64().unwrap(),
        }
    }
}

/// git without any configuration of the machine.
fn isolated_git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(directory).stdin(Stdio::null()).env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
    }
    git
}

/// Writes `ca.pem`, and `leaf.pem` signed by it with `leaf.key`.
fn certify(directory: &Path, names: &[&str]) {
    let authority = Authority::new();
    let leaf = authority.leaf(names);
    fs::write(directory.join("ca.pem"), &authority.pem).unwrap();
    fs::write(directory.join("leaf.pem"), leaf.certificate_pem()).unwrap();
    fs::write(directory.join("leaf.key"), leaf.key_pem()).unwrap();
}

fn configuration(
    directory: &Path,
    address: IpAddr,
    port: u16,
    accounts: &[Account],
    redirect: Option<&str>,
) -> String {
    let root = directory.display();
    let listen = nginx::listen(address, port);
    let mut locations = String::new();
    for (index, Account { path, .. }) in accounts.iter().enumerate() {
        let login = format!("auth_basic git; auth_basic_user_file {root}/account{index};");
        writeln!(locations, "location {path} {{ {login} fastcgi_pass unix:{root}/backend; }}").unwrap();
    }
    if let Some(url) = redirect {
        let login =
            format!("auth_basic git; auth_basic_user_file {root}/account0; try_files /nothing @moved;");
        writeln!(locations, "location /moved-behind-login/ {{ {login} }}").unwrap();
        for location in ["/moved/", "@moved"] {
            let rewrite = format!("rewrite ^/[^/]*/(.*)$ {url}/$1 redirect;");
            writeln!(locations, "location {location} {{ {rewrite} }}").unwrap();
        }
    }
    format!(
        r#"{main}
http {{
{temporary}
log_format line escape=json '{{"request":"$request","authorization":"$http_authorization","user":"$remote_user","status":$status}}';
access_log {root}/access.log line;
client_max_body_size 0;
{git}
server {{
listen {listen} ssl;
ssl_certificate {root}/leaf.pem;
ssl_certificate_key {root}/leaf.key;
{locations}
}}
}}
"#,
        main = nginx::main_directives(directory),
        temporary = nginx::temporary_files(directory),
        git = nginx::git_parameters(directory),
    )
}
