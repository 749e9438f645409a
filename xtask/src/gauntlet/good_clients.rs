//! Good clients: `print`, one after the other, while the bridge is attacked.

use std::io::Read as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use super::bridge::{Bridge, KEY, VALUE};
use crate::failure::{Result, While, failure};
use crate::run::Run;

/// A client that takes longer is killed and counts as failed: longer than any wait of a client.
const PATIENCE: Duration = Duration::from_secs(90);
/// No further client begins after this time: where each waits for seconds, an attack would last for minutes.
const LONGEST: Duration = Duration::from_secs(120);
const LONGEST_IN_SHORT_FORM: Duration = Duration::from_secs(15);
/// How often the end of a client is checked.
const INTERVAL: Duration = Duration::from_micros(200);

/// What a number of `print`s came to.
#[derive(Default, Clone)]
pub(super) struct Prints {
    /// How long each took, failed ones included.
    pub(super) times: Vec<Duration>,
    pub(super) failed: usize,
    /// The first error message.
    pub(super) first_error: Option<String>,
}

impl Prints {
    /// Runs `count` clients in turn, or those that begin within the time for one attack.
    pub(super) fn run(scene: &Scene, bridge: &Bridge, count: usize) -> Result<Self> {
        let mut prints = Self::default();
        let (began, limit) = (Instant::now(), scene.choose(LONGEST, LONGEST_IN_SHORT_FORM));
        for _ in 0..count {
            if began.elapsed() > limit {
                break;
            }
            prints.add(print(scene, bridge)?);
        }
        prints.times.sort_unstable();
        Ok(prints)
    }

    /// Runs one more client, after the attack.
    pub(super) fn run_afterwards(&mut self, scene: &Scene, bridge: &Bridge) -> Result<()> {
        self.add(print(scene, bridge)?);
        self.times.sort_unstable();
        Ok(())
    }

    fn add(&mut self, (time, outcome): (Duration, Result<(), String>)) {
        self.times.push(time);
        if let Err(error) = outcome {
            self.failed += 1;
            let error = error.lines().take(2).collect::<Vec<_>>().join(" ");
            self.first_error.get_or_insert(error);
        }
    }

    /// The time that `part` of all clients did not exceed, in thousandths: 500 is the median.
    pub(super) fn quantile(&self, part: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((self.times.len() * part / 1000).min(last)).copied().unwrap_or_default()
    }
}

/// Requires that a client succeeds.
pub(super) fn require(scene: &Scene, bridge: &Bridge) -> Result<()> {
    let (_, outcome) = print(scene, bridge)?;
    outcome.map_err(|error| failure!("`print` fails although nothing attacks the bridge: {error}"))
}

/// The time of one `print`, and why it failed.
fn print(scene: &Scene, bridge: &Bridge) -> Result<(Duration, Result<(), String>)> {
    let began = Instant::now();
    let mut child = Run::new(&scene.binary)
        .args(["print", KEY])
        .clean_env()
        .env("BRIDGE_CONF", &bridge.conf)
        .output(Stdio::piped())
        .errors(Stdio::piped())
        .spawn()?;
    let ended = loop {
        match child.try_wait().while_doing("wait for a client")? {
            Some(status) => break Some(status),
            None if began.elapsed() > PATIENCE => break None,
            None => thread::sleep(INTERVAL),
        }
    };
    let time = began.elapsed();
    let Some(status) = ended else {
        let _ = (child.kill(), child.wait());
        return Ok((time, Err("it does not end".to_owned())));
    };
    // Both fit into their pipes.
    let (mut value, mut errors) = (String::new(), String::new());
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let _ = (stdout.read_to_string(&mut value), stderr.read_to_string(&mut errors));
    }
    let outcome =
        if status.success() && value == VALUE { Ok(()) } else { Err(format!("{status}: {}", errors.trim())) };
    Ok((time, outcome))
}
