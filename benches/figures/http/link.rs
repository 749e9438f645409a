//! A large file over a link of 1 Gbit/s: the build is in a network namespace of its own.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use super::servers::{NAMES, Servers, TOKEN};
use super::{LARGE, RUNS};
use crate::Result;
use crate::measure::{median, pairs};
use crate::programs::{Programs, run};
use crate::table::{Table, Value};

/// A pair of virtual Ethernet devices, each of which sends 1 Gbit/s. The kernel removes it with the process.
struct Link {
    process: Child,
    host: Ipv4Addr,
}

impl Link {
    fn new() -> Result<Self> {
        let third = (std::process::id() % 250) as u8;
        let [host, build] = [1, 2].map(|last| Ipv4Addr::new(10, 214, third, last));
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sh", "-c", "echo; exec sleep 1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut byte = [0];
        std::io::Read::read_exact(process.stdout.as_mut().ok_or("no output")?, &mut byte)?;
        let link = Self { process, host };
        let pid = link.process.id().to_string();
        let (here, there) = (format!("sbb{pid}h"), format!("sbb{pid}b"));
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let here_run = |text: &str| {
            let words = words(text);
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            run(command)
        };
        let inside = |text: &str| run(link.inside(&words(text)));
        here_run(&format!("ip link add {here} type veth peer name {there} netns {pid}"))?;
        here_run(&format!("ip address add {host}/30 dev {here}"))?;
        here_run(&format!("ip link set {here} up"))?;
        inside(&format!("ip address add {build}/30 dev {there}"))?;
        inside(&format!("ip link set {there} up"))?;
        inside("ip link set lo up")?;
        // The burst is what the timer of the kernel needs at this rate (tc-tbf(8)).
        here_run(&format!("tc qdisc add dev {here} root tbf rate 1gbit burst 256kb latency 20ms"))?;
        inside(&format!("tc qdisc add dev {there} root tbf rate 1gbit burst 256kb latency 20ms"))?;
        Ok(link)
    }

    /// A command at the build's end of the link.
    fn inside(&self, words: &[String]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.process.id().to_string()]).args(words);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn over_a_link(programs: &Programs, table: &mut Table) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: the link of 1 Gbit/s is not measured");
        return Ok(());
    }
    let link = Link::new()?;
    let servers = Servers::start_at(link.host.into(), false)?;
    servers.large(LARGE)?;
    let listen = format!("--listen={}:0", link.host);
    let bridge = servers.bridge(programs, &[&listen])?;
    let (name, port) = servers.files();
    let url = format!("https://{name}:{port}/large");
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();

    let direct = || {
        let resolve = format!("{}:{port}:{}", NAMES[0], link.host);
        let header = format!("Authorization: Bearer {TOKEN}");
        let ca = servers.ca();
        let curl =
            ["curl", "-sSf", "-o", "/dev/null", "--resolve", &resolve, "--cacert", &ca, "-H", &header, &url];
        run(link.inside(&text(&curl)))
    };
    let ruled = || {
        let client = programs.client.to_string_lossy().into_owned();
        let exec =
            [client.as_str(), "exec", "--http", "--leaks=off", "--", "curl", "-sSf", "-o", "/dev/null", &url];
        let mut command = link.inside(&text(&exec));
        command.env("BRIDGE_CONF", &bridge.conf);
        run(command)
    };
    let times = pairs(RUNS, direct, ruled)?;
    let took = median(times.iter().map(|(direct, _)| *direct));
    table.noted("1 GB from nginx over a link of 1 Gbit/s, direct", Value::Time(took));
    let ratio = times.iter().map(|(direct, ruled)| ruled.as_secs_f64() / direct.as_secs_f64());
    let figure = "1 GB through a rule over a link of 1 Gbit/s: time, ratio to direct";
    table.limited(figure, Value::Ratio(1.0 / 0.95), Value::Ratio(median(ratio)));
    Ok(())
}
