//! The servers, the bridge with rules for them, and both ways to use them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Client;
use super::serve;
use crate::Result;
use crate::programs::{Bridge, Programs, run};
use crate::support::https::authority::Authority;
use crate::support::https::front::{Content, Front, Login, Site};
use crate::support::https::names::prefix;
use crate::support::registries::Installed;
use crate::support::registries::packages::{OpenRegistry, Package, npm_project};

pub(crate) const TOKEN: &str = "tk_4nV+q7/Zx?9~wPe=0LmB8sRdYc2Hj";

/// How many packages there are.
const NPM: usize = 300;
const WHEELS: usize = 40;

pub(crate) const NAMES: [&str; 4] = ["files.example", "npm.example", "pypi.example", "git.example"];

pub(crate) struct Servers {
    pub(crate) authority: Authority,
    pub(crate) front: Front,
    address: IpAddr,
    _registries: Vec<OpenRegistry>,
    manifest: (String, String),
    requirements: String,
    scratch: TempDir,
    installed: Installed,
}

/// COMMAND of an `exec` that waits, and what it got.
pub(crate) struct Step {
    process: Child,
    proxy: String,
    bundle: String,
}

/// Relays between client and server: two `socat`s and a TLS proxy.
pub(crate) struct Hops {
    socats: Vec<Child>,
    _proxy: Front,
    address: SocketAddr,
}

impl Servers {
    /// All servers, on loopback.
    pub(crate) fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), true)
    }

    /// At an address; with registries and a repository if `packages` is set.
    pub(crate) fn start_at(address: IpAddr, packages: bool) -> Result<Self> {
        let installed = Installed::find();
        let names: Vec<String> = (0..NPM).map(|number| format!("package-{number}")).collect();
        let npm: Vec<Package<'_>> = names.iter().map(|name| Package { name, needs: &[] }).collect();
        let wheels: Vec<String> = (0..WHEELS).map(|number| format!("wheel-{number}")).collect();
        let wheels: Vec<Package<'_>> = wheels.iter().map(|name| Package { name, needs: &[] }).collect();
        let authority = Authority::new();
        let bearer = || Login::Bearer(TOKEN.to_owned());
        let mut sites = vec![Site::new(NAMES[0], bearer(), Content::Files)];
        let mut registries = Vec::new();
        if packages {
            registries.push(OpenRegistry::npm(&installed, &npm));
            registries.push(OpenRegistry::pypi(&installed, &wheels));
            let basic = Login::Basic("builder".to_owned(), TOKEN.to_owned());
            sites.push(Site::new(NAMES[1], bearer(), Content::Registry(registries[0].address())));
            sites.push(Site::new(NAMES[2], basic, Content::Registry(registries[1].address())));
            let git = Login::Basic("x-access-token".to_owned(), TOKEN.to_owned());
            sites.push(Site::new(NAMES[3], git, Content::Git));
        }
        let front = Front::start_at(address, None, &authority, &sites);
        fs::write(front.root().join("small"), "a small answer")?;
        if packages {
            repository(&front.root().join("org/repo.git"))?;
        }
        let registry = format!("https://npm.example:{}/", front.port());
        let requirements = wheels.iter().fold(String::new(), |mut text, wheel| {
            let _ = writeln!(text, "{}==1.0.0", wheel.name);
            text
        });
        Ok(Self {
            manifest: npm_project(&npm, &registry),
            requirements,
            authority,
            front,
            address,
            _registries: registries,
            scratch: TempDir::new()?,
            installed,
        })
    }

    /// The words before a program that resolves the names of the servers.
    pub(crate) fn words(&self) -> Vec<OsString> {
        prefix(&self.scratch.path().join("hosts"), &NAMES.map(|name| (name, self.address)))
    }

    /// A bridge with a rule for each server.
    pub(crate) fn bridge(&self, programs: &Programs, arguments: &[&str]) -> Result<Bridge> {
        let (port, ca) = (self.front.port(), self.ca());
        let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        for (name, place, options) in [
            ("files.example", "", ""),
            ("npm.example", "", ""),
            ("builder@pypi.example", "", ",auth=basic"),
            ("git.example", "/org", ",git"),
        ] {
            all.push("--http-credential".to_owned());
            all.push(format!("{name}:{port}{place}=TOKEN_OF_HOST,ca={ca}{options}"));
        }
        serve(programs, &self.words(), TOKEN, &all)
    }

    /// `exec --http -- COMMAND`.
    pub(crate) fn exec(&self, programs: &Programs, conf: &str, command: &[&str]) -> Command {
        let mut exec = programs.client_with(conf, &["exec", "--http", "--leaks=off", "--"]);
        exec.args(command).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        exec
    }

    /// A program that resolves the names, for direct access.
    pub(crate) fn named(&self, command: &[&str]) -> Command {
        let words = self.words();
        let mut named = Command::new(&words[0]);
        named.args(&words[1..]).args(command).env_clear();
        named.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        named.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        named
    }

    pub(crate) fn direct_curl(&self, url: &str) -> Command {
        let header = format!("Authorization: Bearer {TOKEN}");
        let ca = self.ca();
        self.named(&["curl", "-sSf", "-o", "/dev/null", "--cacert", &ca, "-H", &header, url])
    }

    pub(crate) fn url(&self, name: &str, path: &str) -> String {
        format!("https://{name}:{}{path}", self.front.port())
    }

    /// The server of files, as `host:port`.
    pub(crate) fn files(&self) -> (&'static str, u16) {
        (NAMES[0], self.front.port())
    }

    pub(crate) fn ca(&self) -> String {
        self.authority.file().to_string_lossy().into_owned()
    }

    /// Makes `/large`, sparse.
    pub(crate) fn large(&self, size: u64) -> Result<()> {
        Ok(fs::File::create(self.front.root().join("large"))?.set_len(size)?)
    }

    /// An `exec` whose COMMAND waits.
    pub(crate) fn step(&self, programs: &Programs, conf: &str) -> Result<Step> {
        let script = "echo \"$https_proxy $SSL_CERT_FILE\"; read -r end";
        let mut exec = self.exec(programs, conf, &["sh", "-c", script]);
        let mut process = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let (proxy, bundle) = line.trim().split_once(' ').ok_or("exec printed no proxy")?;
        Ok(Step { process, proxy: proxy.to_owned(), bundle: bundle.to_owned() })
    }

    /// Files for the package managers.
    pub(crate) fn project(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("package.json"), &self.manifest.0)?;
        fs::write(directory.join("package-lock.json"), &self.manifest.1)?;
        let registry = self.url("npm.example", "/");
        let npmrc = format!("registry={registry}\naudit=false\nfund=false\nupdate-notifier=false\n");
        fs::write(directory.join(".npmrc"), npmrc)?;
        Ok(fs::write(directory.join("requirements.txt"), &self.requirements)?)
    }

    /// The line of an .npmrc with the token.
    pub(crate) fn npmrc(&self) -> String {
        format!("//npm.example:{}/:_authToken={TOKEN}", self.front.port())
    }

    pub(crate) fn npm(&self) -> String {
        let node = self.installed.node();
        let npm = node.join("lib/node_modules/npm/bin/npm-cli.js");
        format!("{} {}", node.join("bin/node").display(), npm.display())
    }

    pub(crate) fn pip(&self) -> String {
        self.installed.python("pip").display().to_string()
    }

    /// The index with the token in it, as it is in a URL.
    pub(crate) fn pip_url(&self) -> String {
        let token: String = TOKEN.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "%{byte:02X}");
            text
        });
        format!("https://builder:{token}@pypi.example:{}/simple/", self.front.port())
    }

    pub(crate) fn git_config(&self) -> String {
        use base64::Engine as _;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
        format!("http.extraHeader=Authorization: Basic {login}")
    }
}

/// A bare repository with 20,000 objects, packed.
fn repository(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(path).args(arguments).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", path);
        git.stdout(Stdio::null()).stderr(Stdio::null());
        git
    };
    run(git(&["init", "--quiet", "--bare", "--initial-branch=main"]))?;
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    let mut stream = String::from("commit refs/heads/main\ncommitter n <e> 0 +0000\ndata 3\none\n");
    // With 198 directories, the root and the commit they are 20,000.
    for number in 0..19_800 {
        let text = format!("{number} {}\n", "some text ".repeat(20 + number % 80));
        write!(stream, "M 644 inline d{}/f{number}\ndata {}\n{text}\n", number % 198, text.len())?;
    }
    import.stdin.take().ok_or("no standard input")?.write_all(stream.as_bytes())?;
    if !import.wait()?.success() {
        return Err("git fast-import failed".into());
    }
    run(git(&["repack", "-adq"]))
}

impl Step {
    /// A client that goes through this proxy.
    pub(crate) fn client(&self, (host, port): (&'static str, u16)) -> Result<Client> {
        let (login, address) = self
            .proxy
            .strip_prefix("http://")
            .and_then(|rest| rest.trim_end_matches('/').rsplit_once('@'))
            .ok_or("not a proxy with a password")?;
        Client::through(address.parse()?, login, host, port, Path::new(&self.bundle))
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Hops {
    /// `client → socat → socat → nginx, which ends TLS and asks the server over TLS`.
    pub(crate) fn start(servers: &Servers) -> Result<Self> {
        let behind = servers.front.address;
        let directives = format!(
            "proxy_pass https://files;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             proxy_set_header Host {host};\nproxy_ssl_server_name on;\nproxy_ssl_name {name};\n\
             proxy_ssl_verify on;\nproxy_ssl_trusted_certificate {ca};\nproxy_buffering off;",
            host = format_args!("{}:{}", NAMES[0], behind.port()),
            name = NAMES[0],
            ca = servers.ca(),
        );
        let site = Site::new(NAMES[0], Login::None, Content::Directives(directives));
        let upstream = format!("upstream files {{ server {behind}; keepalive 16; }}\n");
        let proxy =
            Front::with_directives(Ipv4Addr::LOCALHOST.into(), None, &servers.authority, &[site], &upstream);
        let (first, second) = (free_port()?, free_port()?);
        let socat = |from: u16, to: u16| {
            Command::new("socat")
                .arg(format!("TCP-LISTEN:{from},bind=127.0.0.1,fork,reuseaddr,nodelay"))
                .arg(format!("TCP:127.0.0.1:{to},nodelay"))
                .stdin(Stdio::null())
                .spawn()
        };
        let socats = vec![socat(second, proxy.port())?, socat(first, second)?];
        for port in [first, second] {
            let deadline = Instant::now() + Duration::from_secs(10);
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                if Instant::now() > deadline {
                    return Err("socat does not listen".into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(Self { socats, _proxy: proxy, address: (Ipv4Addr::LOCALHOST, first).into() })
    }

    pub(crate) fn client(&self, servers: &Servers, (host, port): (&'static str, u16)) -> Result<Client> {
        Client::at(self.address, host, port, &servers.authority.file(), true)
    }
}

impl Drop for Hops {
    fn drop(&mut self) {
        for socat in &mut self.socats {
            let _ = socat.kill();
            let _ = socat.wait();
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
