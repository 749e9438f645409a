//! The Docker daemon for tests: the user's, or one that this program starts and stops.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::run::{Root, Run, find, step};

/// Time limit for a daemon that we start to answer.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// A script that runs the daemon until its standard input ends, which happens however this program ends, even by
/// SIGKILL. Then it sends SIGTERM (the daemon stops its containerd itself), SIGKILL after half a minute, and removes the
/// daemon's files. `$1` is the directory to remove; the other arguments are the daemon's command line.
const RUN_DAEMON: &str = r#"
state=$1; shift
exec 3<&0
"$@" & daemon=$!
(
    cat <&3 >/dev/null
    kill -TERM $daemon
    seconds=30
    while kill -0 $daemon && [ $seconds -gt 0 ]; do sleep 1; seconds=$((seconds - 1)); done
    kill -KILL $daemon
) 2>/dev/null & watcher=$!
wait $daemon
kill $watcher 2>/dev/null
# If mounts are private, as in many containers, the daemon bind-mounts its data directory onto itself, and leaves that.
cut -d' ' -f2 /proc/self/mounts | grep "^$state/" | sort -r | xargs -r umount -l
rm -rf --one-file-system "$state"
"#;

/// The daemon at the address that the `docker` client uses.
pub(crate) enum Probe {
    /// The address of a daemon on this machine.
    Answers(String),
    /// Why we cannot use a daemon there. We must not start another one beside it.
    Unusable(String),
    /// No daemon.
    Nothing,
}

/// Looks for the daemon that the user's `docker` uses.
pub(crate) fn probe() -> Probe {
    if find("docker").is_none() {
        return Probe::Nothing;
    }
    // This honours DOCKER_HOST and contexts.
    let host =
        Run::new("docker").args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).text();
    let host = host.map_or_else(|_| "unix:///var/run/docker.sock".to_owned(), |host| host.trim().to_owned());
    match Run::new("docker").args(["--host", &host, "version", "--format", "{{.Server.Version}}"]).text() {
        Ok(_version) if !host.starts_with("unix://") => Probe::Unusable(format!(
            "the Docker daemon at {host} may be on another machine, from which a build cannot dial this one"
        )),
        Ok(_version) => Probe::Answers(host),
        Err(failure) if failure.0.contains("permission denied") => {
            Probe::Unusable(format!("permission denied for the Docker daemon at {host}"))
        }
        Err(_) if !host.starts_with("unix://") => {
            Probe::Unusable(format!("the Docker daemon at {host} does not answer"))
        }
        Err(_) => Probe::Nothing,
    }
}

/// A usable daemon. Dropping it stops the daemon if we started it.
pub(crate) struct Daemon {
    /// As in DOCKER_HOST.
    pub(crate) host: String,
    runner: Option<Child>,
}

impl Daemon {
    /// The user's daemon, or a new one if there is none.
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
        // In /var/tmp, because socket paths are limited to 108 bytes and the path of the checkout may be long.
        let state = tempfile::Builder::new()
            .prefix("secrets-bridge-dockerd.")
            .tempdir_in("/var/tmp")
            .while_doing("create a directory in /var/tmp")?
            .keep();
        let socket = state.join("docker.sock");
        let config = state.join("daemon.json");
        // An empty configuration: the machine's may set a socket or a network.
        fs::write(&config, "{}\n").while_doing(format_args!("write {}", config.display()))?;
        let log = checkout.cache_dir("docker")?.join("dockerd.log");
        let group = Run::new("id").arg("-g").text()?;

        let runner = root
            // In its own process group, so that Ctrl-C reaches only this program; the script then sees the end of its input.
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
        let deadline = Instant::now() + STARTUP_TIMEOUT;
        while !self.docker().args(["version", "--format", "{{.Server.Version}}"]).succeeds() {
            let ended = match &mut self.runner {
                Some(runner) => runner.try_wait().while_doing("wait for dockerd")?.is_some(),
                None => false,
            };
            if ended {
                return Err(failure!("dockerd exited: {}", last_line(log)));
            }
            if Instant::now() > deadline {
                return Err(failure!(
                    "dockerd did not answer within {} s (log: {})",
                    STARTUP_TIMEOUT.as_secs(),
                    log.display()
                ));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The `docker` client for this daemon.
    pub(crate) fn docker(&self) -> Run {
        Run::new("docker").env("DOCKER_HOST", &self.host).without_env("DOCKER_CONTEXT")
    }

    /// Whether dropping this stops the daemon and removes its images.
    pub(crate) fn is_ours(&self) -> bool {
        self.runner.is_some()
    }

    /// Makes the image `name` from the tar of a root file system, unless it exists.
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
            step("stopping the Docker daemon for these tests");
            drop(runner.stdin.take());
            let _ = runner.wait();
        }
    }
}

/// The last line of a log, where dockerd says why it exited.
fn last_line(log: &Path) -> String {
    let mut text = String::new();
    let _ = File::open(log).and_then(|mut log| log.read_to_string(&mut text));
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").to_owned()
}
