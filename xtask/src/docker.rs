//! A Docker daemon: the one that answers, or one of our own for as long as we need it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, find, step};

/// How long a daemon of ours may take until it answers.
const READY: Duration = Duration::from_secs(60);

/// Runs the daemon until standard input ends: that happens however this program ends, SIGKILL included. Then it is
/// asked to stop (it stops its containerd itself), forced after half a minute, and its files are removed.
/// `$1` is the directory to remove; the rest is the daemon's command line.
const RUN_DAEMON: &str = r#"
state=$1; shift
exec 3<&0
"$@" & daemon=$!
(
    cat <&3 >/dev/null
    kill -TERM $daemon
    patience=30
    while kill -0 $daemon && [ $patience -gt 0 ]; do sleep 1; patience=$((patience - 1)); done
    kill -KILL $daemon
) 2>/dev/null & watcher=$!
wait $daemon
kill $watcher 2>/dev/null
# Where mounts are private, as in many containers, it binds its data directory onto itself, and leaves that.
cut -d' ' -f2 /proc/self/mounts | grep "^$state/" | sort -r | xargs -r umount -l
rm -rf --one-file-system "$state"
"#;

/// What a client finds at the address it would dial.
pub(crate) enum Probe {
    /// A daemon answers there, on this machine.
    Answers(String),
    /// Something is there that we cannot use, and must not compete with: why.
    Unusable(String),
    /// Nothing is there.
    Nothing,
}

/// Looks for the daemon that the user's own `docker` would talk to.
pub(crate) fn probe() -> Probe {
    if find("docker").is_none() {
        return Probe::Nothing;
    }
    // It knows about DOCKER_HOST and about contexts.
    let host =
        Run::new("docker").args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).text();
    let host = host.map_or_else(|_| "unix:///var/run/docker.sock".to_owned(), |host| host.trim().to_owned());
    match Run::new("docker").args(["--host", &host, "version", "--format", "{{.Server.Version}}"]).text() {
        Ok(_version) if !host.starts_with("unix://") => Probe::Unusable(format!(
            "the Docker daemon at {host} may be on another machine, from where a build cannot dial back"
        )),
        Ok(_version) => Probe::Answers(host),
        Err(failure) if failure.0.contains("permission denied") => {
            Probe::Unusable(format!("this user may not use the Docker daemon at {host}"))
        }
        Err(_) if !host.starts_with("unix://") => {
            Probe::Unusable(format!("the Docker daemon at {host} does not answer"))
        }
        Err(_) => Probe::Nothing,
    }
}

/// A daemon to use. One that we started ends when this is dropped.
pub(crate) struct Daemon {
    /// As in DOCKER_HOST.
    pub(crate) host: String,
    runner: Option<Child>,
}

impl Daemon {
    /// The daemon that answers, or else one of our own.
    pub(crate) fn find_or_start(checkout: &Checkout) -> Result<Self> {
        match probe() {
            Probe::Answers(host) => {
                step(format_args!("using the Docker daemon at {host}"));
                Ok(Self { host, runner: None })
            }
            Probe::Unusable(why) => Err(failure!("{why}")),
            Probe::Nothing => Self::start(checkout),
        }
    }

    fn start(checkout: &Checkout) -> Result<Self> {
        let root = Root::available()
            .ok_or_else(|| failure!("no Docker daemon answers, and starting one needs root or `sudo -n`"))?;
        step("starting a Docker daemon for these tests");
        // Here, because socket paths are short (108 bytes) and the checkout may lie deep.
        let state = tempfile::Builder::new()
            .prefix("secrets-bridge-dockerd.")
            .tempdir_in("/var/tmp")
            .while_doing("make a directory in /var/tmp")?
            .keep();
        let socket = state.join("docker.sock");
        let config = state.join("daemon.json");
        // An own, empty configuration: the machine's may name a socket or a network of its own.
        fs::write(&config, "{}\n").while_doing(format_args!("write {}", config.display()))?;
        let log = checkout.cache_dir("docker")?.join("dockerd.log");
        let group = Run::new("id").arg("-g").text()?;

        let runner = root
            // A process group of its own: Ctrl-C reaches us, and the runner learns of it by the end of its input.
            .run("setsid")
            .args(["--wait", "sh", "-c", RUN_DAEMON, "runner"])
            .arg(&state)
            .args(["env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "dockerd"])
            .arg("--config-file")
            .arg(&config)
            .arg("--data-root")
            .arg(state.join("data"))
            .arg("--exec-root")
            .arg(state.join("run"))
            .arg("--pidfile")
            .arg(state.join("docker.pid"))
            .args(["--group", group.trim()])
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .input(Stdio::piped())
            .log(&log)?
            .spawn()?;
        let mut daemon = Self { host: format!("unix://{}", socket.display()), runner: Some(runner) };
        daemon.wait_until_ready(&log)?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !self.docker().args(["version", "--format", "{{.Server.Version}}"]).succeeds() {
            let ended = match &mut self.runner {
                Some(runner) => runner.try_wait().while_doing("wait for dockerd")?.is_some(),
                None => false,
            };
            if ended {
                return Err(failure!("dockerd does not run here: {}", last_words(log)));
            }
            if Instant::now() > deadline {
                return Err(failure!(
                    "dockerd did not answer within {} s (log: {})",
                    READY.as_secs(),
                    log.display()
                ));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// A `docker` that talks to this daemon.
    pub(crate) fn docker(&self) -> Run {
        Run::new("docker").env("DOCKER_HOST", &self.host).without_env("DOCKER_CONTEXT")
    }

    /// Whether it will be gone, and all its images with it, when this is dropped.
    pub(crate) fn is_ours(&self) -> bool {
        self.runner.is_some()
    }

    /// Makes the image `name` from the tar of a root file system, unless it is there.
    pub(crate) fn import(&self, tar: &Path, name: &str) -> Result<()> {
        if self.docker().args(["image", "inspect", name]).succeeds() {
            return Ok(());
        }
        step(format_args!("importing the base image {name}"));
        self.docker().arg("import").arg(tar).arg(name).text().map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runner) = &mut self.runner {
            step("stopping our Docker daemon");
            drop(runner.stdin.take());
            let _ = runner.wait();
        }
    }
}

/// The last line of a log: that is where dockerd says why it gave up.
fn last_words(log: &Path) -> String {
    let mut text = String::new();
    let _ = File::open(log).and_then(|mut log| log.read_to_string(&mut text));
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
