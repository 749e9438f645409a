//! The load generator, from this side.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Scene, guarded};
use crate::failure::{Result, While, failure};
use crate::run::Run;

/// Time for the load generator to print a line, or to end: its reads and connects take up to a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A load generator that runs. It is killed when this is dropped.
pub(super) struct Load {
    process: Child,
    lines: Receiver<Value>,
}

impl Load {
    /// Starts the load generator with `arguments`, separated by spaces, and the conf of a bridge.
    pub(super) fn start(scene: &Scene, arguments: &str, conf: &str) -> Result<Self> {
        Self::spawn(guarded(scene.cpus.load, &scene.load).args(arguments.split(' ')).env("BRIDGE_CONF", conf))
    }

    /// As [`Self::start`], with the processor of the bridge: for servers that it is compared with.
    pub(super) fn start_server(scene: &Scene, arguments: &str) -> Result<Self> {
        Self::spawn(guarded(scene.cpus.bridge, &scene.load).args(arguments.split(' ')))
    }

    /// `run` must become a load generator, in the end.
    pub(super) fn spawn(run: Run) -> Result<Self> {
        let mut process = run.input(Stdio::piped()).output(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| failure!("the load generator has no output"))?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let values = BufReader::new(stdout).lines().map_while(Result::ok);
            for value in values.filter_map(|line| serde_json::from_str(&line).ok()) {
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, lines })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its next line.
    pub(super) fn line(&self) -> Result<Value> {
        self.lines.recv_timeout(PATIENCE).map_err(|_| failure!("the load generator printed nothing"))
    }

    /// The port of a server.
    pub(super) fn port(&self) -> Result<u16> {
        let line = self.line()?;
        let port = line["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| failure!("the load generator printed no port, but {line}"))
    }

    /// Writes an empty line to its standard input.
    pub(super) fn release(&mut self) -> Result<()> {
        let stdin = self.process.stdin.as_mut().ok_or_else(|| failure!("the load generator has ended"))?;
        stdin.write_all(b"\n").while_doing("start the load generator")
    }

    /// Ends the load, and returns its last line.
    pub(super) fn end(mut self) -> Result<Value> {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait().while_doing("wait for the load generator")?.is_none() {
            if Instant::now() > deadline {
                return Err(failure!("the load generator does not end"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut last = Value::Null;
        // Ends once the thread that reads has got the end of its output.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            last = line;
        }
        Ok(last)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address with a port, as the load generator reads it.
pub(super) fn address(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}

/// A sum in the last line of a load generator, divided by the time that it took.
pub(super) fn per_second(did: &Value, field: &str) -> f64 {
    did[field].as_f64().unwrap_or_default() / did["seconds"].as_f64().unwrap_or(1.0).max(1e-3)
}
