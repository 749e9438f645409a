//! The bridge, the agent or `exec` is killed, or the connection breaks, while a build uses an SSH key: git and ssh fail
//! at once, nothing is left behind, and no signature is requested twice.
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

/// A build in steps: it prints each step's name, and continues when it reads a line.
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

/// A bridge in front of an agent proxy, and a repository to clone through it.
struct CloneSetup {
    scene: Scene,
    agent: AgentProxy,
    bridge: Bridge,
    repository: Repository,
}

/// A running clone.
struct Clone {
    exec: Process,
    /// The private directory of `exec`.
    directory: String,
}

/// The process that the test kills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Bridge,
    Agent,
    Exec,
}

const VICTIMS: [Victim; 3] = [Victim::Bridge, Victim::Agent, Victim::Exec];

impl CloneSetup {
    fn new() -> Self {
        let scene = Scene::new();
        let agent = AgentProxy::to(&scene.agent.socket);
        let allowed = scene.server.name();
        let bridge = scene.serve_agent(&agent.socket, &["--ssh-allow-host", &allowed]);
        let repository = scene.repository("project", &[]);
        Self { scene, agent, bridge, repository }
    }

    /// Starts the build and waits for its first step.
    fn clone(&self, listed: bool) -> Clone {
        self.clone_with_conf(&self.bridge.conf, listed)
    }

    fn clone_with_conf(&self, conf: &str, listed: bool) -> Clone {
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
            Victim::Bridge => self.bridge.sigkill(),
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

    /// All connections are closed, and nothing is left but what SIGKILL makes unavoidable.
    fn assert_cleaned_up(&self, victim: Victim, clone: &Clone) {
        self.scene.server.loses_all_connections();
        self.agent.loses_all_connections();
        if victim == Victim::Exec {
            // A killed `exec` cannot remove its directory. It is in memory and holds no secret.
            fs::remove_dir_all(&clone.directory).unwrap();
            self.bridge.process.signal(Signal::TERM);
            self.bridge.process.exits();
            assert!(self.bridge.home.read(AUDIT).contains("\"session-ended\""));
        }
        assert!(!Path::new(&clone.directory).exists(), "{} stays", clone.directory);
    }
}

impl Clone {
    fn continues(&mut self) {
        // The write fails if the build has ended already.
        let _ = self.exec.stdin.as_mut().unwrap().write_all(b"\n");
    }

    /// Lets the build run through its remaining steps, and waits for the end of all its processes.
    fn ends(&mut self) -> Outcome {
        drop(self.exec.stdin.take());
        self.exec.ends()
    }
}

#[test]
fn a_kill_before_the_first_login_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let setup = CloneSetup::new();
        let mut clone = setup.clone(false);
        setup.kill(victim, &clone);
        clone.continues();
        clone.exec.prints("first: 128");
        let outcome = clone.ends();
        assert!(!outcome.text().contains("second: 0"), "{victim:?}");
        assert_eq!(setup.agent.signatures(), 0);
        setup.assert_cleaned_up(victim, &clone);
    }
}

#[test]
fn a_kill_while_keys_are_listed_blocks_no_client() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let setup = CloneSetup::new();
        setup.agent.hold_lists();
        let exec = setup.scene.exec(&setup.bridge.conf, ["--sh", "echo started"]).start();
        setup.agent.waits_for_held_request();
        match victim {
            Victim::Bridge => {
                setup.bridge.sigkill();
                exec.ends().fails();
            }
            Victim::Agent => {
                setup.scene.agent.process.signal(Signal::KILL);
                exec.ends().succeeds().prints("started\n").says("the SSH agent default offers no key");
                setup.bridge.process.says("does not answer");
            }
            Victim::Exec => exec.signal(Signal::KILL),
        }
        setup.agent.loses_all_connections();
    }
}

#[test]
fn a_kill_after_the_listing_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let setup = CloneSetup::new();
        let mut clone = setup.clone(true);
        clone.continues();
        clone.exec.prints("deploy key");
        clone.exec.prints("listed");
        setup.kill(victim, &clone);
        clone.continues();
        clone.exec.prints("first: 128");
        clone.ends();
        // A killed agent cannot have been asked.
        assert_eq!(setup.agent.signatures(), 0);
        setup.assert_cleaned_up(victim, &clone);
    }
}

#[test]
fn a_kill_during_a_signature_fails_the_clone_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let setup = CloneSetup::new();
        setup.agent.hold_signatures();
        let mut clone = setup.clone(false);
        clone.continues();
        setup.agent.waits_for_held_request();
        setup.kill(victim, &clone);
        clone.exec.prints("first: 128");
        // The bridge drops a request whose client is gone.
        setup.agent.loses_all_connections();
        clone.ends();
        assert_eq!(setup.agent.signatures(), 1, "{victim:?}");
        setup.agent.release();
        setup.assert_cleaned_up(victim, &clone);
    }
}

#[test]
fn a_kill_after_the_clone_fails_the_next_login_at_once() {
    for victim in VICTIMS {
        require!(SSH_SERVER);
        let setup = CloneSetup::new();
        let mut clone = setup.clone(false);
        clone.continues();
        clone.exec.prints("first: 0");
        clone.exec.prints("cloned");
        setup.kill(victim, &clone);
        clone.continues();
        clone.exec.prints("second: 128");
        clone.ends();
        assert_eq!(setup.scene.home.read("clone/file"), "project\n");
        assert_eq!(setup.agent.signatures(), 1, "{victim:?}");
        setup.assert_cleaned_up(victim, &clone);
    }
}

#[test]
fn a_dead_bridge_is_reported_in_the_build() {
    require!(SSH_SERVER);
    let setup = CloneSetup::new();
    let mut clone = setup.clone(false);
    setup.kill(Victim::Bridge, &clone);
    clone.exec.says("the connection to the bridge broke");
    clone.continues();
    clone.exec.prints("first: 128");
    clone.ends().says("Permission denied (publickey)");
}

#[test]
fn a_dead_agent_is_reported_on_both_sides() {
    require!(SSH_SERVER);
    let setup = CloneSetup::new();
    let mut clone = setup.clone(false);
    setup.kill(Victim::Agent, &clone);
    clone.continues();
    let refused = clone.exec.says("refused: ");
    // Which of the two: the keys may have been listed again before the signature was requested.
    let reasons = ["the agent on the host does not answer", "the key is not offered"];
    assert!(reasons.iter().any(|reason| refused.ends_with(reason)), "{refused}");
    setup.bridge.process.says("does not answer");
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

/// A conf that leads to the bridge through `proxy`.
fn conf_through(proxy: &TcpProxy, bridge: &Bridge) -> String {
    peer::with_endpoints(&peer::conf(&bridge.conf), proxy.port, &["127.0.0.1"])
}

#[test]
fn a_lost_connection_is_redialled_and_the_next_login_works() {
    require!(SSH_SERVER);
    let setup = CloneSetup::new();
    let proxy = TcpProxy::to(setup.bridge.port());
    let mut clone = setup.clone_with_conf(&conf_through(&proxy, &setup.bridge), false);
    proxy.cut();
    clone.exec.says("the connection to the bridge broke");
    clone.continues();
    clone.exec.prints("first: 0");
    proxy.cut();
    clone.continues();
    clone.exec.prints("second: 0");
    clone.ends().succeeds();
    assert_eq!((proxy.connections(), setup.agent.signatures()), (3, 2));
}

#[test]
fn a_signature_lost_with_its_connection_is_not_retried() {
    require!(SSH_SERVER);
    let setup = CloneSetup::new();
    let proxy = TcpProxy::to(setup.bridge.port());
    setup.agent.hold_signatures();
    let mut clone = setup.clone_with_conf(&conf_through(&proxy, &setup.bridge), false);
    clone.continues();
    setup.agent.waits_for_held_request();
    proxy.cut();
    clone.exec.prints("first: 128");
    // The bridge has dropped the request: there is no client to answer.
    setup.agent.loses_all_connections();
    assert_eq!(setup.agent.signatures(), 1);
    setup.agent.release();
    clone.ends().says("Permission denied (publickey)");
    assert_eq!(setup.agent.signatures(), 1);
}

#[test]
fn the_login_after_a_lost_signature_works() {
    require!(SSH_SERVER);
    let setup = CloneSetup::new();
    let proxy = TcpProxy::to(setup.bridge.port());
    setup.agent.hold_signatures();
    let there = setup.scene.destination_words(&setup.scene.server);
    let script = format!("ssh {there} echo one; echo \"lost: $?\"; read -r line; ssh {there} echo two");
    let mut process = setup
        .scene
        .exec(&conf_through(&proxy, &setup.bridge), ["--sh", &script])
        .stdin(Stdio::piped())
        .start();
    setup.agent.waits_for_held_request();
    proxy.cut();
    process.prints("lost: 255");
    setup.agent.release();
    drop(process.stdin.take());
    process.ends().succeeds().prints("lost: 255\ntwo\n");
    assert_eq!(setup.agent.signatures(), 2);
}
