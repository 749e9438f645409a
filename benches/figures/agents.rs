//! The time of a signature through the bridge, compared with the agent itself.

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, path::PathBuf, thread};

use tempfile::TempDir;

use crate::measure::median;
use crate::programs::{Bridge, Programs, number, run};
use crate::table::{Table, Value};
use crate::{LOOPBACK, Result, delay_proxy, ms};

/// Delay in each direction where a login is measured.
const DELAY: Duration = Duration::from_millis(50);
/// How many pairs of measurements, of the agent and of the bridge, are made.
const PAIRS: usize = 15;

/// A real agent with one key. It is killed when this is dropped.
struct Agent {
    process: Child,
    home: TempDir,
}

impl Agent {
    fn start() -> Result<Self> {
        let home = TempDir::new()?;
        let socket = home.path().join("agent");
        let process =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn()?;
        let agent = Self { process, home };
        while !socket.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let key = agent.home.path().join("key");
        let mut generate = Command::new("ssh-keygen");
        generate.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        run(generate)?;
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket);
        run(add)?;
        fs::remove_file(&key)?;
        Ok(agent)
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn signatures(programs: &Programs, table: &mut Table) -> Result<()> {
    let agent = Agent::start()?;
    let socket = agent.socket();
    let offered = format!("default={}", socket.display());
    let bridge = Bridge::serve(programs, &[], [LOOPBACK, "--ssh", &offered])?;
    for (what, way, threads, count, limit) in [
        ("open connection", "open", 1, 150, 1.15),
        ("new connection each time", "fresh", 1, 150, 1.35),
        ("new connection each time, 16 threads", "fresh", 16, 480, 1.15),
    ] {
        let mut times = Vec::new();
        for _ in 0..PAIRS {
            let mut direct = programs.agent_client(way, count, threads);
            direct.env("SSH_AUTH_SOCK", &socket);
            let through = programs.exec_agent_client(&bridge.conf, way, count, threads);
            times.push((number(direct)?, number(through)?));
        }
        let ratio = median(times.iter().map(|(direct, through)| through / direct));
        let direct = median(times.iter().map(|(direct, _)| *direct));
        table.noted(
            format!("signature by ssh-agent, {what}"),
            Value::Time(Duration::from_secs_f64(direct / 1e6)),
        );
        table.limited(
            "ratio of a signature through the bridge to that",
            Value::Ratio(limit),
            Value::Ratio(ratio),
        );
    }
    let far = bridge.conf_at(delay_proxy::listen(bridge.port()?, DELAY)?)?;
    let whole = number(programs.exec_agent_client(&far, "login", 20, 1))?;
    let figure = "connect, list keys, sign; 50 ms delay in each direction";
    table.limited(figure, ms(105.0), Value::Time(Duration::from_secs_f64(whole / 1e6)));
    Ok(())
}
