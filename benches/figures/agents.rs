//! What a signature costs through the bridge, against the agent itself.

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, path::PathBuf, thread};

use tempfile::TempDir;

use crate::measure::median;
use crate::programs::{Bridge, Programs, number, run};
use crate::table::{Table, Value};
use crate::{LOOPBACK, Result, delay_proxy, ms};

/// One way of the longest path.
const FARTHER: Duration = Duration::from_millis(50);
/// How often the agent and the bridge take turns.
const TURNS: usize = 15;

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
        ("on an open connection", "open", 1, 150, 1.15),
        ("on a new connection each", "fresh", 1, 150, 1.35),
        ("16 at once, on a new connection each", "fresh", 16, 480, 1.15),
    ] {
        let mut times = Vec::new();
        for _ in 0..TURNS {
            let mut direct = programs.agent_client(way, count, threads);
            direct.env("SSH_AUTH_SOCK", &socket);
            let through = programs.exec_agent_client(&bridge.conf, way, count, threads);
            times.push((number(direct)?, number(through)?));
        }
        let ratio = median(times.iter().map(|(direct, through)| through / direct));
        let direct = median(times.iter().map(|(direct, _)| *direct));
        table.noted(
            format!("a signature of ssh-agent, {what}"),
            Value::Time(Duration::from_secs_f64(direct / 1e6)),
        );
        table.limited(
            format!("a signature through the bridge, {what}, against that"),
            Value::Ratio(limit),
            Value::Ratio(ratio),
        );
    }
    let far = bridge.conf_at(delay_proxy::listen(bridge.port()?, FARTHER)?)?;
    let whole = number(programs.exec_agent_client(&far, "whole", 20, 1))?;
    let figure = "new connection, keys, signature, with the bridge 50 ms away in each direction";
    table.limited(figure, ms(105.0), Value::Time(Duration::from_secs_f64(whole / 1e6)));
    Ok(())
}
