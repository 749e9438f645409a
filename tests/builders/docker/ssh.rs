//! Builds that log in to an SSH server with a key of the host: only to allowed hosts, and without a trace in the image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::engine::{BUILDKIT, Builder, Docker, FTP_PROXY, every_builder, gateway};
use crate::context::BridgeRun;
use crate::support::require::require;
use crate::support::ssh::{Repository, SSH_SERVER, Scene, Sshd};
use serde_json::Value;

/// The beginning of both Dockerfiles of a comparison.
const BEFORE: &str = "\
FROM base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh .
";

#[test]
fn a_build_clones_only_from_the_allowed_host_without_a_trace() {
    require!(SSH_SERVER);
    for docker in every_builder() {
        let host = Host::new();
        docker.dockerfile(BEFORE);
        let plain = docker.build("again", &FTP_PROXY);
        plain.outcome.succeeds();

        let clone = format!(
            "RUN secrets-bridge exec -- git clone {} /src && echo file: $(cat /src/file)\n",
            host.url()
        );
        let elsewhere = host.url_at(&host.scene.other);
        let unknown = format!(
            "RUN secrets-bridge exec -- git clone {elsewhere} /src/other; [ $? = 128 ] && echo un''known\n"
        );
        // The bridge refuses other hosts even if the build checks no host keys.
        let careless = format!(
            "RUN secrets-bridge exec --sh 'GIT_SSH_COMMAND=\"/usr/bin/ssh -oStrictHostKeyChecking=no \
             -oUserKnownHostsFile=/dev/null\" git clone {elsewhere} /src/other'; [ $? = 128 ] && echo re''fused\n"
        );
        docker.dockerfile(&[BEFORE, &clone, &unknown, &careless].concat());
        let run = host.build(&docker, &[], &FTP_PROXY);
        run.outcome.succeeds().says("file: project").says("Host key verification failed").says("unknown");
        run.outcome.says(&format!("refused: host {} is not allowed", host.name(&host.scene.other)));
        run.outcome.says("refused").says("1 signature");

        let signatures = host.records("agent-signature");
        assert_eq!(signatures.len(), 1);
        assert_eq!(signatures[0]["host"], host.name(&host.scene.server));
        assert!(!host.records("agent-refused").is_empty());

        assert_eq!(docker.search("app", [&plain, &run]), Vec::<String>::new());
        let (before, mut after) = (exported(&docker, "again"), exported(&docker, "app"));
        after.retain(|path, _| !path.starts_with("src/"));
        assert!(after.len() > 1000, "{}", after.len());
        let changed: Vec<_> = after.iter().filter(|(path, is)| before.get(*path) != Some(is)).collect();
        assert!(changed.is_empty(), "{changed:#?}");
        assert!(before.keys().all(|path| after.contains_key(path)));
    }
}

#[test]
fn an_ordinary_user_clones_an_https_url_with_a_deploy_key() {
    require!(SSH_SERVER);
    for docker in every_builder() {
        let host = Host::new();
        // The URL becomes git@HOST, and this machine may have no user git. ssh uses the first user on its command line.
        docker.dockerfile(&format!(
            "{BEFORE}\
             RUN useradd --create-home node\n\
             USER node\n\
             RUN GIT_SSH_COMMAND='ssh -l {}' secrets-bridge exec -- git clone https://{}{} /home/node/src \
             && echo file: $(cat /home/node/src/file) && [ ! -e ~/.ssh ] && [ ! -e ~/.gitconfig ]\n",
            host.scene.user,
            host.address,
            host.repository.path.display(),
        ));
        let path = host.repository.path.display().to_string();
        let key =
            format!("{}:{}{path}={}", host.address, host.scene.server.port, host.scene.key.fingerprint());
        let run = host.build(&docker, &["--git-key", &key], &FTP_PROXY);
        run.outcome.succeeds().says("file: project").says("1 signature");
        assert_eq!(docker.search("app", [&run]), Vec::<String>::new());
    }
}

#[test]
fn buildkits_ssh_mount_obeys_the_policy_of_the_bridge() {
    require!(SSH_SERVER, BUILDKIT);
    for docker in every_builder() {
        if docker.builder == Builder::Classic {
            continue; // This builder has no --mount.
        }
        let host = Host::new();
        let login = |server: &Sshd| {
            format!(
                "RUN --mount=type=ssh ssh -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null {} {}@{} \
                 cat {}/HEAD\n",
                host.port_option(server),
                host.scene.user,
                host.address,
                host.repository.path.display()
            )
        };
        let socket = docker.context.path("agent.sock");
        let socket = socket.to_str().unwrap();
        let mount = format!("default={socket}");

        // BuildKit rejects session-binds itself, so the only proof of the host is its key in the signed data.
        let with_hostbound = ["--ssh-host-proof", "bind-or-hostbound", "--agent-socket", socket];
        docker.dockerfile(&(BEFORE.to_owned() + &login(&host.scene.server)));
        let build = ["--ssh", &mount];
        let run = host.build(&docker, &with_hostbound, &build);
        run.outcome.succeeds().says("ref: refs/heads/main").says("1 signature");

        docker.dockerfile(&(BEFORE.to_owned() + &login(&host.scene.other)));
        let run = host.build(&docker, &with_hostbound, &build);
        run.outcome.fails().says("Permission denied (publickey)");
        run.outcome.says(&format!("host {} is not allowed", host.name(&host.scene.other)));

        docker.dockerfile(&(BEFORE.to_owned() + &login(&host.scene.server)));
        let run = host.build(&docker, &["--agent-socket", socket], &[&build[..], &["--no-cache"]].concat());
        run.outcome.fails().says("this client does not say which host it talks to (no session-bind)");
    }
}

/// Two SSH servers on this machine that builds can reach. The first is allowed, and has a repository.
struct Host {
    scene: Scene,
    address: IpAddr,
    repository: Repository,
    known_hosts: PathBuf,
    audit: PathBuf,
}

impl Host {
    fn new() -> Self {
        let address = gateway();
        let scene = Scene::at(Ipv4Addr::UNSPECIFIED.into());
        let repository = scene.repository("project", &[]);
        let (known_hosts, audit) = (scene.path("known_hosts"), scene.path("audit"));
        let host = Self { scene, address, repository, known_hosts, audit };
        let line = |server: &Sshd| format!("{} {}\n", host.name(server), server.host_key());
        fs::write(&host.known_hosts, line(&host.scene.server) + &line(&host.scene.other)).unwrap();
        host
    }

    fn name(&self, server: &Sshd) -> String {
        server.name_at(self.address)
    }

    fn port_option(&self, server: &Sshd) -> String {
        format!("-p {}", server.port)
    }

    fn url(&self) -> String {
        self.url_at(&self.scene.server)
    }

    fn url_at(&self, server: &Sshd) -> String {
        let path = self.repository.path.display();
        format!("ssh://{}@{}:{}{path}", self.scene.user, self.address, server.port)
    }

    /// `run OPTIONS -- docker build BUILD_OPTIONS .`, with an agent for the first server only.
    fn build(&self, docker: &Docker, options: &[&str], build_options: &[&str]) -> BridgeRun {
        let agent = format!("default={}", self.scene.agent.socket.display());
        let allowed = self.name(&self.scene.server);
        let (known_hosts, audit) = (self.known_hosts.to_str().unwrap(), self.audit.to_str().unwrap());
        let usual = [
            "--ssh",
            &agent,
            "--ssh-known-hosts",
            known_hosts,
            "--ssh-allow-host",
            &allowed,
            "--audit",
            audit,
        ];
        docker.build_with(&[&usual, options].concat(), "app", build_options)
    }

    /// The audit records of one kind.
    fn records(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.audit).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["record"] == kind).collect()
    }
}

/// Every file of an image, with its type, mode, link target and hash.
fn exported(docker: &Docker, name: &str) -> BTreeMap<String, String> {
    let container = docker.prints(&["create", &docker.tag(name), "true"]);
    let container = container.trim();
    let archive = docker.context.path(&format!("{name}.tar"));
    docker.prints(&["export", "--output", archive.to_str().unwrap(), container]);
    docker.prints(&["rm", container]);
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let describe = |entry: tar::Entry<'_, File>| {
        let (path, kind) = (entry.path().unwrap().display().to_string(), entry.header().entry_type());
        let mode = entry.header().mode().unwrap();
        let target = entry.link_name().unwrap().map(|target| target.display().to_string());
        let mut entry = entry;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        (path, format!("{kind:?} {mode:o} {target:?} {hash:?}"))
    };
    archive.entries().unwrap().map(|entry| describe(entry.unwrap())).collect()
}
