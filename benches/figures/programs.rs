//! The measured programs, and their arguments and environment.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use proto::{BridgeConf, Endpoint};

use crate::Result;

/// Interval between two reads of a process's peak memory.
const PEAK_MEMORY_INTERVAL: Duration = Duration::from_micros(300);

/// Paths of the programs. `cargo xtask bench` builds them, all with the flags of a release, and passes the paths in
/// variables.
pub(crate) struct Programs {
    /// The product, both sides.
    pub(crate) full: PathBuf,
    /// The product, client only.
    pub(crate) client: PathBuf,
    /// The directory of the programs in `benches/programs`.
    helpers: PathBuf,
}

impl Programs {
    pub(crate) fn from_env() -> Result<Self> {
        let path = |name| env::var_os(name).map(PathBuf::from).ok_or("run `cargo xtask bench`");
        Ok(Self {
            full: path("SECRETS_BRIDGE_TEST_BINARY")?,
            client: path("SECRETS_BRIDGE_BENCH_CLIENT")?,
            helpers: path("SECRETS_BRIDGE_BENCH_PROGRAMS")?,
        })
    }

    /// `print KEY` with `conf`, as a build step runs it.
    pub(crate) fn print(&self, conf: &str, key: &str) -> Command {
        self.with_conf(&self.client, conf, ["print", key])
    }

    /// `exec -e KEY … -- true` with `conf`.
    pub(crate) fn exec(&self, conf: &str, keys: &[String]) -> Command {
        let mut command = self.with_conf(&self.client, conf, ["exec", "--no-mask", "--leaks=off"]);
        command.args(keys.iter().flat_map(|key| ["-e", key])).args(["--", "/bin/true"]);
        command
    }

    /// `scan` of an archive, or of standard input.
    pub(crate) fn scan(&self, image: &Path) -> Command {
        let mut command = clean(&self.full);
        command
            .args(["scan", "--no-config", "--secret", "TOKEN=npm_0f1e2d3c4b5a69788796a5b4c3d2e1f0"])
            .arg(image);
        command
    }

    /// `exec` with masked output, with a COMMAND that prints `files`.
    pub(crate) fn exec_masked<'a>(&self, conf: &str, files: impl Iterator<Item = &'a Path>) -> Command {
        let mut command =
            self.with_conf(&self.client, conf, ["exec", "--leaks=off", "-e", "TOKEN", "--", "cat"]);
        command.args(files);
        command
    }

    /// A step that does nothing, in `layers/lower` or in `layers/merged`, an overlay over it, as `exec --leaks=…` runs it.
    pub(crate) fn step(&self, conf: &str, layers: &Path, root: &str, leaks: &str) -> Command {
        const ENTER: &str = "
            [ $0 = lower ] || mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work $0 || exit
            exec chroot $0 /secrets-bridge exec $1 -e TOKEN -- /secrets-bridge --version";
        let user: &[&str] =
            if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let mut command = self.with_conf(Path::new("unshare"), conf, ["--mount"]);
        command.args(user).args(["sh", "-c", ENTER, root, leaks]).current_dir(layers);
        command
    }

    /// A step that changes all of /files in the directory `root`, as `exec --leaks=…` runs it.
    pub(crate) fn changing_step(&self, conf: &str, root: &Path, leaks: &str) -> Command {
        // The programs of this machine are mounted, and so not searched.
        const ENTER: &str = "
            for name in usr bin lib lib64; do
                if [ -L /$name ]; then [ -L $name ] || cp -P /$name $name
                elif [ -d /$name ]; then mkdir -p $name && mount --rbind /$name $name; fi || exit
            done
            exec chroot . /secrets-bridge exec $0 -e TOKEN -- /usr/bin/chmod -R u+rw /files";
        let user: &[&str] =
            if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let mut command = self.with_conf(Path::new("unshare"), conf, ["--mount"]);
        command.args(user).args(["sh", "-c", ENTER, leaks]).current_dir(root);
        command
    }

    /// The program that requests signatures from the agent of `SSH_AUTH_SOCK`: benches/programs/agent_client.rs.
    pub(crate) fn agent_client(&self, way: &str, count: usize, threads: usize) -> Command {
        let mut command = clean(&self.helpers.join("agent_client"));
        command.args([way, &count.to_string(), &threads.to_string()]);
        command
    }

    /// The same as COMMAND of `exec` with `conf`.
    pub(crate) fn exec_agent_client(&self, conf: &str, way: &str, count: usize, threads: usize) -> Command {
        let mut command = self.with_conf(&self.client, conf, ["exec", "--ssh", "--"]);
        command.arg(self.helpers.join("agent_client"));
        command.args([way, &count.to_string(), &threads.to_string()]);
        command
    }

    /// One bare TLS exchange with the server that `conf` names.
    pub(crate) fn bare_client(&self, conf: &str) -> Command {
        self.with_conf(&self.helpers.join("bare_client"), conf, [])
    }

    /// One of the two programs that run both sides in one process.
    pub(crate) fn both_sides(&self, allocator: &str, length: usize, runs: usize) -> Command {
        let mut command = clean(&self.helpers.join(format!("both_sides_{allocator}")));
        command.args([length.to_string(), runs.to_string()]);
        command
    }

    /// The client with these arguments and `conf`.
    pub(crate) fn client_with(&self, conf: &str, arguments: &[&str]) -> Command {
        let mut command = self.with_conf(&self.client, conf, []);
        command.args(arguments);
        command
    }

    fn with_conf<const N: usize>(&self, program: &Path, conf: &str, arguments: [&str; N]) -> Command {
        let mut command = clean(program);
        command.args(arguments).env("BRIDGE_CONF", conf);
        command
    }
}

/// `program` without the environment, standard input or terminal of this process.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs `command`, which must succeed.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{:?}: {status}", command.get_program()).into()) }
}

/// Runs `command`, which must succeed and print a number.
pub(crate) fn number(mut command: Command) -> Result<f64> {
    let output = command.stdout(Stdio::piped()).output()?;
    if !output.status.success() {
        return Err(format!("{:?}: {}", command.get_program(), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// As [`run`]; returns the peak memory of the process, in bytes.
pub(crate) fn run_for_memory(mut command: Command) -> Result<u64> {
    let mut child = command.spawn()?;
    let mut peak = 0;
    loop {
        // The kernel keeps the maximum itself; only the last interval before the end may be missed.
        peak = peak_memory(child.id()).unwrap_or(peak);
        match child.try_wait()? {
            None => thread::sleep(PEAK_MEMORY_INTERVAL),
            Some(status) if status.success() => return Ok(peak),
            Some(status) => return Err(format!("{:?}: {status}", command.get_program()).into()),
        }
    }
}

/// `VmHWM` of a process that runs, in bytes (proc_pid_status(5)).
fn peak_memory(pid: u32) -> Result<u64> {
    peak(&fs::read_to_string(format!("/proc/{pid}/status"))?)
}

/// `VmHWM` in the text of `/proc/PID/status`, in bytes.
pub(crate) fn peak(status: &str) -> Result<u64> {
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/PID/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// The processor time in the text of `/proc/PID/stat`: fields 14 and 15, in hundredths of a second (proc_pid_stat(5)).
pub(crate) fn processor_time(stat: &str) -> Result<Duration> {
    let (_, fields) = stat.split_once(") ").ok_or("not /proc/PID/stat")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next().ok_or("too short")??, times.next().ok_or("too short")??);
    Ok(Duration::from_millis((user + system) * 10))
}

/// A `serve` that runs. It is killed when this is dropped.
pub(crate) struct Bridge {
    process: Child,
    /// What it printed.
    pub(crate) conf: String,
}

impl Bridge {
    /// Starts `serve ARGUMENTS` with these environment variables, and waits until it prints its conf.
    pub(crate) fn serve(
        programs: &Programs,
        variables: &[(String, String)],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        Self::serve_as(programs, &[], variables, arguments)
    }

    /// As [`Self::serve`], with words before the command.
    pub(crate) fn serve_as(
        programs: &Programs,
        words: &[std::ffi::OsString],
        variables: &[(String, String)],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        let mut command = clean(words.first().map_or(programs.full.as_path(), Path::new));
        if !words.is_empty() {
            command.args(&words[1..]).arg(&programs.full);
            command.env("PATH", env::var_os("PATH").unwrap_or_default());
        }
        command.arg("serve").args(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().ok_or("serve has no standard output")?;
        let mut bridge = Self { process, conf: String::new() };
        BufReader::new(stdout).read_line(&mut bridge.conf)?;
        if bridge.conf.is_empty() { Err("serve printed no conf".into()) } else { Ok(bridge) }
    }

    /// The port on which it listens.
    pub(crate) fn port(&self) -> Result<u16> {
        Ok(BridgeConf::parse(&self.conf)?.port)
    }

    /// A conf for this bridge whose only endpoint is `port` on loopback.
    pub(crate) fn conf_at(&self, port: u16) -> Result<String> {
        let endpoints = vec![Endpoint::Address([127, 0, 0, 1].into())];
        text(&BridgeConf { port, endpoints, ..BridgeConf::parse(&self.conf)? })
    }

    /// Its processor time so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        processor_time(&fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?)
    }

    /// Its peak memory, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        peak_memory(self.process.id())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The conf as a string.
pub(crate) fn text(conf: &BridgeConf) -> Result<String> {
    Ok(String::from_utf8(conf.to_text().expose().to_vec())?)
}
