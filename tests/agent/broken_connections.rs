//! Whoever dies while a build uses an SSH key: git and ssh end with an error at once, nothing is left, and no signature
//! is asked for twice.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use crate::peer;
use crate::support::require::require;
use crate::support::ssh::{AUDIT, AgentProxy, Repository, SSH_SERVER, Scene, TcpProxy};
use crate::support::{Bridge, Outcome, Process, Start as _};

/// A build between its steps: it says where it is, and goes on when it is told to.
const STEPS: &str = r#"
step() { echo "$1"; read -r line; }
dirname "$SSH_AUTH_SOCK"
step begun
if [ "$LISTED" ]; then ssh-add -l && step listed; fi
git clone --quiet "$URL" clone; code=$?
echo "first: $code"
step cloned
git -C clone fetch --quiet; echo "second: $?"
"#;

/// A bridge over an agent that can be watched, and a clone through it.
struct Stage {
    scene: Scene,
    agent: AgentProxy,
    bridge: Bridge,
    repository: Repository,
}

/// A clone that is under way.
struct Clone {
    exec: Process,
    /// The private directory.
    directory: String,
}

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Bridge,
    Agent,
    Exec,
}

const VICTIMS: [Victim; 3] = [Victim::Bridge, Victim::Agent, Victim::Exec];

impl Stage {
    fn new() -> Self {
        let scene = Scene::new();
        let agent = AgentProxy::to(&scene.agent.socket);
        let allowed = scene.server.name();
        let bridge = scene.serve_agent(&agent.socket, &["--ssh-allow-host", &allowed]);
        let repository = scene.repository("project", &[]);
        Self { scene, agent, bridge, repository }
    }

    /// The build, at its first step.
    fn clone(&self, listed: bool) -> Clone {
        self.clone_by(&self.bridge.conf, listed)
    }

    fn clone_by(&self, conf: &str, listed: bool) -> Clone {
        let mut exec = self.scene.exec(conf, ["--sh", STEPS]);
        exec.env("URL", self.scene.url(&self.scene.server, &self.repository.path));
        if listed {
            exec.env("LISTED", "1");
        }
        let exec = exec.stdin(Stdio::piped()).start();
        let directory = exec.prints_line();
        exec.prints("begun");
        Clone { exec, directory }
    }

    fn kill(&self, victim: Victim, clone: &Clone) {
        match victim {
            Victim::Bridge => self.bridge.kill_nine(),
            Victim::Agent => {
                self.scene.agent.process.signal(Signal::KILL);
                self.scene.agent.process.exits();
            }
            Victim::Exec => {
                clone.exec.signal(Signal::KILL);
                clone.exec.exits();
            }
        }
    }

    /// After all of it: no connection is open, and no file remains but what SIGKILL leaves.
    fn is_over(&self, victim: Victim, clone: &Clone) {
        self.scene.server.is_left_alone();
        self.agent.is_left_alone();
        if victim == Victim::Exec {
            // Nobody was there to remove it. It is in memory, and there is nothing of worth in it.
            fs::remove_dir_all(&clone.directory).unwrap();
            self.bridge.process.signal(Signal::TERM);
            self.bridge.process.exits();
            assert!(self.bridge.home.read(AUDIT).contains("\"session-ended\""));
        }
        assert!(!Path::new(&clone.directory).exists(), "{} stays", clone.directory);
    }
}

impl Clone {
    fn goes_on(&mut self) {
        // A build that was told to go on and has ended reads nothing more.
        let _ = self.exec.stdin.as_mut().unwrap().write_all(b"\n");
    }

    /// The end of the build and of all its processes, told to go on at each step.
    fn ends(&mut self) -> Outcome {
        drop(self.exec.stdin.take());
        self.exec.ends()
    }
}

#[test]
fn a_kill_before_the_first_login_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let stage = Stage::new();
        let mut clone = stage.clone(false);
        stage.kill(victim, &clone);
        clone.goes_on();
        clone.exec.prints("first: 128");
        let outcome = clone.ends();
        assert!(!outcome.text().contains("second: 0"), "{victim:?}");
        assert_eq!(stage.agent.signatures(), 0);
        stage.is_over(victim, &clone);
    }
}

#[test]
fn a_kill_while_keys_are_listed_blocks_no_client() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let stage = Stage::new();
        stage.agent.hold_lists();
        let exec = stage.scene.exec(&stage.bridge.conf, ["--sh", "echo started"]).start();
        stage.agent.holds_one();
        match victim {
            Victim::Bridge => {
                stage.bridge.kill_nine();
                exec.ends().fails();
            }
            Victim::Agent => {
                stage.scene.agent.process.signal(Signal::KILL);
                exec.ends().succeeds().prints("started\n").says("the SSH agent default offers no key");
                stage.bridge.process.says("does not answer");
            }
            Victim::Exec => exec.signal(Signal::KILL),
        }
        stage.agent.is_left_alone();
    }
}

#[test]
fn a_kill_after_the_listing_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let stage = Stage::new();
        let mut clone = stage.clone(true);
        clone.goes_on();
        clone.exec.prints("deploy key");
        clone.exec.prints("listed");
        stage.kill(victim, &clone);
        clone.goes_on();
        clone.exec.prints("first: 128");
        clone.ends();
        // An agent that is gone was not asked either.
        assert_eq!(stage.agent.signatures(), 0);
        stage.is_over(victim, &clone);
    }
}

#[test]
fn a_kill_during_a_signature_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let stage = Stage::new();
        stage.agent.hold_signatures();
        let mut clone = stage.clone(false);
        clone.goes_on();
        stage.agent.holds_one();
        stage.kill(victim, &clone);
        clone.exec.prints("first: 128");
        // The bridge abandons a request that no client waits for.
        stage.agent.is_left_alone();
        clone.ends();
        assert_eq!(stage.agent.signatures(), 1, "{victim:?}");
        stage.agent.release();
        stage.is_over(victim, &clone);
    }
}

#[test]
fn a_kill_after_the_clone_fails_the_next_login_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let stage = Stage::new();
        let mut clone = stage.clone(false);
        clone.goes_on();
        clone.exec.prints("first: 0");
        clone.exec.prints("cloned");
        stage.kill(victim, &clone);
        clone.goes_on();
        clone.exec.prints("second: 128");
        clone.ends();
        assert_eq!(stage.scene.home.read("clone/file"), "project\n");
        assert_eq!(stage.agent.signatures(), 1, "{victim:?}");
        stage.is_over(victim, &clone);
    }
}

#[test]
fn a_dead_bridge_is_reported_in_the_build() {
    require!(SSH_SERVER);
    let stage = Stage::new();
    let mut clone = stage.clone(false);
    stage.kill(Victim::Bridge, &clone);
    clone.exec.says("the connection to the bridge broke");
    clone.goes_on();
    clone.exec.prints("first: 128");
    clone.ends().says("Permission denied (publickey)");
}

#[test]
fn a_dead_agent_is_reported_on_both_sides() {
    require!(SSH_SERVER);
    let stage = Stage::new();
    let mut clone = stage.clone(false);
    stage.kill(Victim::Agent, &clone);
    clone.goes_on();
    let refused = clone.exec.says("refused: ");
    // Which of them: the list of keys may have been asked for again before the signature was.
    let reasons = ["the agent on the host does not answer", "the key is not offered"];
    assert!(reasons.iter().any(|reason| refused.ends_with(reason)), "{refused}");
    stage.bridge.process.says("does not answer");
    clone.ends();
}

#[test]
fn a_restarted_agent_signs_for_ssh() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let there = scene.destination_words(&scene.server);
    let script = format!("ssh {there} echo one; echo ready; read -r line; ssh {there} echo two");
    let mut process = scene.exec(&bridge.conf, ["--sh", &script]).stdin(Stdio::piped()).start();
    process.prints("ready");
    scene.agent.process.signal(Signal::KILL);
    scene.agent.process.exits();
    fs::remove_file(&scene.agent.socket).unwrap();
    let mut again = scene.program("ssh-agent", ["-D", "-a", scene.agent.socket.to_str().unwrap()]);
    let again = again.start();
    again.prints("SSH_AUTH_SOCK");
    scene.agent.add(&scene.key);
    drop(process.stdin.take());
    process.ends().succeeds().prints("one\nready\ntwo\n");
}

/// A conf that leads to the bridge through something that can be cut.
fn conf_by(proxy: &TcpProxy, bridge: &Bridge) -> String {
    peer::leading_to(&peer::conf(&bridge.conf), proxy.port, &["127.0.0.1"])
}

#[test]
fn a_lost_connection_is_redialled_and_the_next_login_works() {
    require!(SSH_SERVER);
    let stage = Stage::new();
    let proxy = TcpProxy::to(stage.bridge.port());
    let mut clone = stage.clone_by(&conf_by(&proxy, &stage.bridge), false);
    proxy.cut();
    clone.exec.says("the connection to the bridge broke");
    clone.goes_on();
    clone.exec.prints("first: 0");
    proxy.cut();
    clone.goes_on();
    clone.exec.prints("second: 0");
    clone.ends().succeeds();
    assert_eq!((proxy.connections(), stage.agent.signatures()), (3, 2));
}

#[test]
fn a_signature_lost_with_its_connection_is_not_retried() {
    require!(SSH_SERVER);
    let stage = Stage::new();
    let proxy = TcpProxy::to(stage.bridge.port());
    stage.agent.hold_signatures();
    let mut clone = stage.clone_by(&conf_by(&proxy, &stage.bridge), false);
    clone.goes_on();
    stage.agent.holds_one();
    proxy.cut();
    clone.exec.prints("first: 128");
    // The bridge has abandoned it, so the answer would reach no client.
    stage.agent.is_left_alone();
    assert_eq!(stage.agent.signatures(), 1);
    stage.agent.release();
    clone.ends().says("Permission denied (publickey)");
    assert_eq!(stage.agent.signatures(), 1);
}

#[test]
fn the_login_after_a_lost_signature_works() {
    require!(SSH_SERVER);
    let stage = Stage::new();
    let proxy = TcpProxy::to(stage.bridge.port());
    stage.agent.hold_signatures();
    let there = stage.scene.destination_words(&stage.scene.server);
    let script = format!("ssh {there} echo one; echo \"lost: $?\"; read -r line; ssh {there} echo two");
    let mut process =
        stage.scene.exec(&conf_by(&proxy, &stage.bridge), ["--sh", &script]).stdin(Stdio::piped()).start();
    stage.agent.holds_one();
    proxy.cut();
    process.prints("lost: 255");
    stage.agent.release();
    drop(process.stdin.take());
    process.ends().succeeds().prints("lost: 255\ntwo\n");
    assert_eq!(stage.agent.signatures(), 2);
}
