//! The agent behind the bridge may be restarted, get new keys, or send invalid answers: builds get signatures or a
//! refusal.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use proto::agent::number;

use crate::support;
use crate::support::agent::{Build, Key, LIST, Login, NO, ONE, SshAgent, TWO, framed, listing, sign_request};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home};

fn serve(home: Home, socket: &Path) -> Bridge {
    let mut command = home.serve(["-A"]);
    command.env("SSH_AUTH_SOCK", socket);
    Bridge::start(home, command)
}

#[test]
fn a_restarted_agent_signs_and_lists_its_new_keys() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let [first, second] = ["first", "second"].map(|comment| Key::ed25519(&home, comment));
    agent.add(&home, &first);
    let bridge = serve(home, &agent.socket);
    let build = Build::start(&bridge, &[]);
    let mut client = build.connect();
    client.logs_in(Login::new(&ONE, &first));
    let socket = agent.socket.clone();
    agent.end();
    client.cannot_log_in(Login::new(&ONE, &first));
    build.process.says("refused: the agent on the host does not answer");
    let agent = SshAgent::at(&bridge.home, socket);
    agent.add(&bridge.home, &first);
    client.logs_in(Login::new(&ONE, &first));
    // The same if no request came while the agent was down.
    agent.end();
    let agent = SshAgent::start(&bridge.home);
    agent.add(&bridge.home, &first);
    client.logs_in(Login::new(&TWO, &first));
    // A request for an unknown key makes the bridge list the agent's keys again.
    agent.add(&bridge.home, &second);
    client.logs_in(Login::new(&ONE, &second));
    build.end();
    let build = Build::start(&bridge, &[]);
    assert_eq!(build.connect().ask(LIST), listing(&[&first, &second]));
    build.end();
}

#[test]
fn keys_added_while_command_runs_are_listed_later() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let [first, second] = ["first", "second"].map(|comment| Key::ed25519(&home, comment));
    agent.add(&home, &first);
    let bridge = serve(home, &agent.socket);
    let build = Build::start(&bridge, &[]);
    let mut client = build.connect();
    assert_eq!(client.ask(LIST), listing(&[&first]));
    agent.add(&bridge.home, &second);
    // A listing answers with the keys known so far, and fetches the current ones for the next.
    let deadline = std::time::Instant::now() + support::LIMIT;
    while client.ask(LIST) != listing(&[&first, &second]) {
        assert!(std::time::Instant::now() < deadline, "the new key is never listed");
        std::thread::yield_now();
    }
    client.logs_in(Login::new(&ONE, &second));
    build.end();
}

/// An agent with one key that answers sign requests with `answer`, which gets the number of the connection, until the
/// bridge closes it.
fn fake(home: &Home, key: &Key, answer: impl Fn(usize) -> Vec<u8> + Send + 'static) -> PathBuf {
    let socket = home.path("fake.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let keys = framed(&listing(&[key]));
    thread::spawn(move || {
        // Counts only connections that sign: the bridge also lists the keys now and then.
        let mut signing = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut has_signed = false;
            while let Some(message) = message(&mut stream) {
                let bytes = match message[0] {
                    number::REQUEST_IDENTITIES => keys.clone(),
                    number::SIGN_REQUEST => {
                        has_signed = true;
                        answer(signing)
                    }
                    _ => framed(NO),
                };
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            signing += usize::from(has_signed);
        }
    });
    socket
}

fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut message = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

#[test]
fn an_invalid_answer_is_refused_and_ends_the_connection() {
    require!(OPENSSH);
    let signed = |signature: &[u8]| {
        let mut answer = proto::agent::Writer::new(number::SIGN_RESPONSE);
        answer.string(signature);
        answer.finish()
    };
    let (stale, good) = (signed(b"stale"), signed(b"good"));
    for nonsense in [
        framed(&[99]),
        framed(&[&stale[..], b"\0"].concat()),
        framed(&stale[..stale.len() - 1]),
        framed(&[number::SUCCESS]),
        vec![0, 0, 0, 0],
        vec![0xff; 4],
    ] {
        let home = Home::new();
        let key = Key::ed25519(&home, "deploy");
        let answers = [[nonsense, framed(&stale)].concat(), framed(&good)];
        let socket = fake(&home, &key, move |connection| answers[connection].clone());
        let bridge = serve(home, &socket);
        let build = Build::start(&bridge, &[]);
        let mut client = build.connect();
        let sign = sign_request(&key.blob, &Login::new(&ONE, &key).data(), 0);
        assert_eq!(client.ask(&sign), NO);
        assert_eq!(client.ask(&sign), good);
        let expected = "secrets-bridge: warning: refused: the agent on the host does not answer\n";
        assert_eq!(build.end().stderr, expected);
    }
}

#[test]
fn a_refusal_by_the_agent_is_passed_on() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let socket = fake(&home, &key, |_| framed(NO));
    let bridge = serve(home, &socket);
    let build = Build::start(&bridge, &[]);
    build.connect().cannot_log_in(Login::new(&ONE, &key));
    let expected = "secrets-bridge: warning: refused: the agent on the host declined to sign\n";
    assert_eq!(build.end().stderr, expected);
}
