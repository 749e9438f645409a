//! A connection that is cut, stalled or cut into pieces, at every end of a TLS record and at random bytes, in every kind of
//! conversation. Afterwards either everything arrived, or the client says why not and exits with 125.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::is_long;
use super::proxy::{Affected, Direction, Fault, FaultProxy};
use crate::peer;
use crate::support::agent::{AgentClient, Key, Login, ONE, SshAgent, assert_valid};
use crate::support::require::{GIT, OPENSSH, require};
use crate::support::ssh::AgentProxy;
use crate::support::{Bridge, Home, Outcome, Start as _};

const TOKEN: &str = "value-of-the-token-5e1f";
const OTHER: &str = "value-of-the-other-77aa";
/// Longer than a chunk, so that it comes in several messages.
const LONG: usize = 100_000;

/// Conversations at once: they mostly wait.
const AT_ONCE: usize = 6;

/// Random offsets for each direction of each conversation.
fn random_cuts() -> usize {
    if is_long() { 60 } else { 3 }
}

/// A bridge, and the agent behind it.
struct Host {
    bridge: Bridge,
    long: Vec<u8>,
}

impl Host {
    fn new() -> Self {
        let home = Home::new();
        let long: Vec<u8> = (0..LONG).map(|index| b'a' + (index % 23) as u8).collect();
        home.file("long", &long);
        let mut command = home.serve([
            "--secret",
            "TOKEN",
            "--secret",
            "OTHER",
            "--secret",
            "id=LONG,src=long",
            "--git-credential",
            "git.example=OTHER",
        ]);
        command.env("TOKEN", TOKEN).env("OTHER", format!("user:{OTHER}"));
        Self { bridge: Bridge::start(home, command), long }
    }
}

/// One conversation of a client with the bridge.
struct Conversation {
    name: &'static str,
    arguments: &'static [&'static str],
    /// What it writes to stdout if it succeeds.
    output: fn(&Host) -> Vec<u8>,
}

const EXEC: [&str; 4] = ["exec", "--no-mask", "--leaks=off", "--no-ssh-agent"];

fn conversations() -> [Conversation; 5] {
    [
        Conversation { name: "print", arguments: &["print", "TOKEN"], output: |_| TOKEN.into() },
        Conversation {
            name: "print of several chunks",
            arguments: &["print", "LONG"],
            output: |host| host.long.clone(),
        },
        Conversation {
            name: "exec with three secrets",
            arguments: &[
                "-e",
                "TOKEN",
                "-e",
                "OTHER",
                "-e",
                "LONG",
                "--sh",
                "printf '%s %s %s' \"$TOKEN\" \"$OTHER\" \"$LONG\"",
            ],
            output: |host| [format!("{TOKEN} user:{OTHER} ").as_bytes(), &host.long].concat(),
        },
        Conversation {
            name: "exec with files",
            arguments: &[
                "--file",
                "TOKEN=made/token",
                "--file",
                "LONG=made/long",
                "--sh",
                "cat made/token made/long",
            ],
            output: |host| [TOKEN.as_bytes(), &host.long].concat(),
        },
        Conversation {
            name: "exec with a git credential",
            arguments: &[
                "--git-credentials",
                "--sh",
                "printf 'protocol=https\\nhost=git.example\\n\\n' | git credential fill",
            ],
            output: |_| format!("protocol=https\nhost=git.example\nusername=user\npassword={OTHER}\n").into(),
        },
    ]
}

impl Conversation {
    fn command(&self, home: &Home, conf: &str) -> Command {
        let is_exec = self.arguments[0].starts_with('-');
        let first: &[&str] = if is_exec { &EXEC } else { &[] };
        let mut command = home.command([first, self.arguments].concat());
        command.env("BRIDGE_CONF", conf).env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    /// Runs it through `proxy`, and checks what came of it. Returns whether it succeeded.
    #[track_caller]
    fn check(&self, host: &Host, proxy: &FaultProxy, what: &str) -> bool {
        let home = Home::new();
        let conf = through(&host.bridge, proxy);
        let outcome = self.command(&home, &conf).outcome();
        let expected = (self.output)(host);
        let context = format!("{}, {what}: {:?}\nstderr: {}", self.name, outcome.status, outcome.stderr);
        let succeeded = match outcome.code() {
            Some(0) => {
                assert!(
                    outcome.stdout == expected,
                    "{} of {} bytes: {context}",
                    outcome.stdout.len(),
                    expected.len()
                );
                true
            }
            Some(125) => {
                assert!(outcome.stderr.contains("secrets-bridge: "), "no reason: {context}");
                // Only `print` writes before everything is there. What it wrote is the beginning, and the exit code says
                // that it is no more.
                let begun = self.arguments[0] == "print" && expected.len() > 1000;
                assert!(outcome.stdout.is_empty() || begun, "COMMAND ran: {context}");
                assert!(expected.starts_with(&outcome.stdout), "other bytes: {context}");
                false
            }
            _ => panic!("{context}"),
        };
        assert_nothing_left(&home, &context);
        succeeded
    }
}

/// The conf of a bridge that is reached through `proxy`.
fn through(bridge: &Bridge, proxy: &FaultProxy) -> String {
    peer::with_endpoints(&peer::conf(&bridge.conf), proxy.port, &["127.0.0.1"])
}

/// Neither HOME nor TMPDIR has a file.
#[track_caller]
fn assert_nothing_left(home: &Home, context: &str) {
    let entries = |path: &Path| -> Vec<_> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let (here, tmp) = (entries(&home.path(".")), entries(&home.path("../tmp")));
    assert!(here.is_empty() && tmp.is_empty(), "left behind: {here:?} {tmp:?}: {context}");
}

/// xorshift64. The seed is printed, and taken from `SECRETS_BRIDGE_TEST_SEED`.
struct Random(u64);

impl Random {
    #[allow(clippy::print_stdout, reason = "libtest shows it if the test fails")]
    fn new() -> Self {
        let given = std::env::var("SECRETS_BRIDGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_nanos() as u64 | 1
        });
        println!("SECRETS_BRIDGE_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }
}

/// The offsets at which a conversation is cut: each end of a record, the byte before it, and random ones.
fn cuts(proxy: &FaultProxy, random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        let ends = proxy.records(direction);
        let length = ends.last().copied().unwrap_or(0);
        assert!(length > 500, "no conversation");
        // The records of a long secret are alike.
        let ends = ends.iter().take(12).copied();
        let mut offsets: Vec<usize> = [0, 1].into_iter().chain(ends).collect();
        offsets.extend((0..random_cuts()).map(|_| random.below(length)));
        for after in offsets {
            faults.push(Fault::Cut { direction, after, reset: random.below(2) == 0 });
        }
    }
    faults
}

/// Calls `check` with all `cases`, several at once.
fn for_each<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(case);
                }
            });
        }
    });
}

#[test]
fn after_a_cut_the_client_dials_again_and_gets_everything() {
    require!(GIT);
    let host = Host::new();
    let mut random = Random::new();
    let mut cases = Vec::new();
    let conversations = conversations();
    for conversation in &conversations {
        let whole = FaultProxy::to(host.bridge.port(), Fault::None, Affected::All);
        assert!(conversation.check(&host, &whole, "undisturbed"), "{}", conversation.name);
        cases.extend(cuts(&whole, &mut random).into_iter().map(|fault| (conversation, fault)));
    }
    let (succeeded, all) = (AtomicUsize::new(0), cases.len());
    for_each(&cases, |(conversation, fault)| {
        let proxy = FaultProxy::to(host.bridge.port(), *fault, Affected::First);
        if conversation.check(&host, &proxy, &fault.to_string()) {
            succeeded.fetch_add(1, Ordering::Relaxed);
        }
    });
    // The client dials again, for as long as the bridge is there.
    assert_eq!(succeeded.into_inner(), all);
}

#[test]
fn a_connection_that_always_breaks_is_an_error_in_time() {
    require!(GIT);
    let host = Host::new();
    let conversations = conversations();
    let mut cases = Vec::new();
    for conversation in &conversations {
        let whole = FaultProxy::to(host.bridge.port(), Fault::None, Affected::All);
        assert!(conversation.check(&host, &whole, "undisturbed"), "{}", conversation.name);
        // Before the pin is verified, before the upgrade, and in the middle of what the bridge sends.
        let (up, down) = (whole.records(Direction::Up), whole.records(Direction::Down));
        for (direction, after) in
            [(Direction::Up, 0), (Direction::Down, down[0] / 2), (Direction::Up, up[up.len() - 1] - 1)]
        {
            cases.push((conversation, Fault::Cut { direction, after, reset: false }));
        }
    }
    for_each(&cases, |(conversation, fault)| {
        let proxy = FaultProxy::to(host.bridge.port(), *fault, Affected::All);
        conversation.check(&host, &proxy, &fault.to_string());
    });
}

#[test]
fn pieces_and_delays_change_nothing() {
    require!(GIT);
    let host = Host::new();
    let conversations = conversations();
    let cases: Vec<_> = conversations
        .iter()
        .flat_map(|conversation| {
            let pieces = |size, millis| Fault::Pieces { size, delay: Duration::from_millis(millis) };
            [
                (conversation, pieces(1, 0)),
                (conversation, pieces(700, 1)),
                (conversation, pieces(64 << 10, 40)),
            ]
        })
        // 100 KB in pieces of a byte are as many system calls.
        .filter(|(conversation, fault)| {
            !matches!(fault, Fault::Pieces { size: 1, .. }) || conversation.name == "print"
        })
        .collect();
    for_each(&cases, |(conversation, fault)| {
        let proxy = FaultProxy::to(host.bridge.port(), *fault, Affected::All);
        assert!(conversation.check(&host, &proxy, &fault.to_string()), "{}, {fault}", conversation.name);
    });
}

#[test]
fn a_stalled_connection_is_given_up() {
    require!(GIT);
    let host = Host::new();
    let conversations = conversations();
    let conversation = &conversations[2];
    let whole = FaultProxy::to(host.bridge.port(), Fault::None, Affected::All);
    assert!(conversation.check(&host, &whole, "undisturbed"));
    let (up, down) = (whole.records(Direction::Up), whole.records(Direction::Down));
    // At once, in the handshake, and in the upgrade request, which is the last record of the client but for its close.
    let cases = [
        (Direction::Up, 0),
        (Direction::Down, 0),
        (Direction::Down, down[0]),
        (Direction::Up, up[0] + 1),
        (Direction::Up, up[up.len() - 2] - 1),
    ];
    for_each(&cases, |(direction, after)| {
        let fault = Fault::Stall { direction: *direction, after: *after };
        let proxy = FaultProxy::to(host.bridge.port(), fault, Affected::First);
        conversation.check(&host, &proxy, &fault.to_string());
    });
}

#[test]
fn a_cut_never_makes_the_agent_sign_twice() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let key = Key::ed25519(&home, "deploy");
    agent.add(&home, &key);
    let counter = AgentProxy::to(&agent.socket);
    let mut command = home.serve(["-A"]);
    command.env("SSH_AUTH_SOCK", &counter.socket);
    let bridge = Bridge::start(home, command);

    let whole = FaultProxy::to(bridge.port(), Fault::None, Affected::All);
    assert_eq!(signs(&bridge, &whole, &key), Some(true));
    assert_eq!(counter.signatures(), 1);
    let mut random = Random::new();
    for fault in cuts(&whole, &mut random) {
        let before = counter.signatures();
        let proxy = FaultProxy::to(bridge.port(), fault, Affected::First);
        let signed = signs(&bridge, &proxy, &key);
        let made = counter.signatures() - before;
        assert!(made <= 1, "{made} signatures for one request: {fault}");
        assert!(signed != Some(true) || made == 1, "{fault}");
    }
}

/// One `exec` whose COMMAND asks the agent for one signature. `None` if it did not start, else whether it got a signature.
fn signs(bridge: &Bridge, proxy: &FaultProxy, key: &Key) -> Option<bool> {
    let home = Home::new();
    let mut command = home.command(["exec", "--ssh", "--leaks=off", "--sh", "echo $SSH_AUTH_SOCK; exec cat"]);
    let mut process = command.env("BRIDGE_CONF", through(bridge, proxy)).stdin(Stdio::piped()).start();
    let Some(socket) = process.prints_or_ends() else {
        drop(process.stdin.take());
        let outcome: Outcome = process.ends();
        assert_eq!(outcome.code(), Some(125), "{}", outcome.stderr);
        return None;
    };
    let mut client = AgentClient::at(Path::new(&socket));
    let login = Login::new(&ONE, key);
    let data = login.data();
    let signature = client.sign(&key.blob, &data, 0);
    if let Some(signature) = &signature {
        assert_valid(&key.blob, "ssh-ed25519", &data, signature);
    }
    drop(client);
    drop(process.stdin.take());
    process.ends().succeeds();
    assert!(!Path::new(&socket).parent().unwrap().exists(), "{socket} stays");
    assert_nothing_left(&home, "agent");
    Some(signature.is_some())
}

#[test]
fn test_and_kill_survive_a_cut_or_say_so() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    let whole = FaultProxy::to(bridge.port(), Fault::None, Affected::All);
    let run = |bridge: &Bridge, proxy: &FaultProxy, command: &str| {
        let conf = through(bridge, proxy);
        let outcome = bridge.home.command([command]).env("BRIDGE_CONF", conf).outcome();
        assert!(matches!(outcome.code(), Some(0 | 125)), "{command}: {outcome:?}");
        assert!(outcome.code() == Some(0) || !outcome.stderr.is_empty());
        outcome
    };
    assert!(run(&bridge, &whole, "test").succeeds().text().contains("TOKEN"));
    let faults = cuts(&whole, &mut Random::new());
    for_each(&faults, |fault| {
        let proxy = FaultProxy::to(bridge.port(), *fault, Affected::First);
        let outcome = run(&bridge, &proxy, "test");
        assert!(outcome.code() == Some(125) || outcome.text().contains("TOKEN"), "{fault}: {outcome:?}");
    });
    // Every second one: each needs a bridge of its own.
    let some: Vec<Fault> = faults.into_iter().step_by(2).collect();
    let ended = AtomicUsize::new(0);
    for_each(&some, |fault| {
        let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
        let proxy = FaultProxy::to(bridge.port(), *fault, Affected::First);
        let outcome = run(&bridge, &proxy, "kill");
        if outcome.stderr.contains("the bridge has stopped") {
            bridge.process.exits();
            ended.fetch_add(1, Ordering::Relaxed);
        } else {
            let says =
                ["no bridge to stop", "broke", "the bridge has ended", "no endpoint of the bridge answered"];
            assert!(says.iter().any(|text| outcome.stderr.contains(text)), "{fault}: {outcome:?}");
        }
    });
    println!("{} of {} bridges were stopped after a cut", ended.into_inner(), some.len());
}
