//! Audit and log under floods: both stay bounded in bytes, and what was permitted is in both.

use std::thread;

use proto::agent::Identity;
use proto::{ClientMessage, HostMessage, Key, Untrusted};
use serde_json::Value;

use crate::peer::{AUDIT, Client, FakeBridge, Received, ServerSocket, of_kind, records, send, until_closed};
use crate::support::agent::AgentClient;
use crate::support::{Bridge, Home, Start as _};

const THREADS: usize = 8;
/// Some 23 MB of records.
const REFUSALS_PER_THREAD: usize = 8192;

/// The audit's budget and what may be beyond it: records of permitted reads, and sums every 10 s.
const MAX_AUDIT: usize = (8 << 20) + (64 << 10);
/// The budgets of a few kinds of messages, at `-vv`.
const MAX_LOG: usize = 2 << 20;

/// A holder of the conf asks for keys that do not exist, with names as long as they may be. Returns how often it was
/// refused.
fn ask_in_vain(conf: &str, thread: usize) -> usize {
    let (mut client, _) = Client::begin(conf, &[]);
    let mut refused = 0;
    while refused < REFUSALS_PER_THREAD {
        let key = |number: usize| format!("{thread}-{number:0>126}").parse::<Key>().unwrap();
        client.get(refused as u32, (refused..refused + 64).map(key).collect());
        for _ in 0..64 {
            assert!(matches!(client.next(), Received::Refused(..)));
            refused += 1;
        }
    }
    client.close();
    refused
}

#[test]
fn a_flood_of_refusals_fills_neither_audit_nor_log() {
    let bridge = Bridge::serve(["-vv", "--secret", "A=hunter2", "--audit", AUDIT]);
    let refused: usize = thread::scope(|scope| {
        let flood: Vec<_> = (0..THREADS)
            .map(|thread| {
                let conf = &bridge.conf;
                scope.spawn(move || ask_in_vain(conf, thread))
            })
            .collect();
        // In the middle of it.
        for _ in 0..10 {
            bridge.client(["print", "A"]).outcome().succeeds().prints("hunter2");
        }
        flood.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    assert_eq!(refused, THREADS * REFUSALS_PER_THREAD);
    // The budget is exhausted: whether this session has a record of its own depends on how much has grown again since.
    bridge.client(["print", "A"]).outcome().succeeds().prints("hunter2");

    let records = records(&bridge);
    let length = bridge.home.read(AUDIT).len();
    assert!(length <= MAX_AUDIT, "{length} bytes of audit");
    for kind in ["secret-read", "secret-sent"] {
        assert_eq!(of_kind(&records, kind).len(), 11, "{kind}");
    }
    // What was not written is counted, each record once.
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for summed in of_kind(&records, "records-summed") {
        let counts = summed["counts"].as_object().unwrap();
        assert_eq!(summed["count"], counts.values().filter_map(Value::as_u64).sum::<u64>());
        for (kind, count) in counts {
            *sums.entry(kind.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    let total = |kind: &str, summed: &str| {
        of_kind(&records, kind).len() as u64 + sums.get(summed).copied().unwrap_or_default()
    };
    assert_eq!(total("secret-refused", "secret-refused/unknown-key"), refused as u64);
    assert_eq!(total("session-begun", "session-begun"), THREADS as u64 + 11);
    assert_eq!(total("session-ended", "session-ended/closed"), THREADS as u64 + 11);
    assert!(sums["secret-refused/unknown-key"] > refused as u64 / 4, "{sums:?}");
    assert_eq!(records.last().unwrap()["record"], "bridge-ended");

    let log = bridge.process.stderr();
    assert!(log.len() <= MAX_LOG, "{} bytes of log", log.len());
    assert!(log.contains("messages were left out: too many of one kind"));
    assert!(log.contains("clients cause too many audit records"));
    assert!(log.contains("the bridge has stopped"));
}

#[test]
fn audit_records_on_stderr_are_not_left_out_with_messages() {
    const READS: usize = 700;
    let bridge = Bridge::serve(["-vv", "--secret", "A=hunter2", "--audit", "-"]);
    let (mut client, _) = Client::begin(&bridge.conf, &[]);
    for number in 0..READS as u32 {
        client.get(number, vec!["A".parse().unwrap()]);
        assert_eq!(client.next(), Received::Length(number, 7));
        assert_eq!(client.next(), Received::Chunk(number, b"hunter2".to_vec()));
    }
    client.close();
    let outcome = bridge.end();
    assert_eq!(outcome.stderr.matches("\"secret-read\"").count(), READS);
    // The messages about them are all the same.
    assert_eq!(outcome.stderr.matches("sends A (7 bytes)").count(), 1);
    outcome.says(&format!("the last message was repeated {} times", READS - 1));
}

/// Answers the first request to the agent, and, when its client has hung up, goes on: each answer has another refusal.
fn flood_with_refusals(socket: &mut ServerSocket, answers: usize) {
    let answer = |socket: &mut ServerSocket, number: usize| {
        let refusal = Untrusted::new(format!("{number} {}", "no ".repeat(100)));
        send(socket, &HostMessage::Answer { channel: 0, answer: vec![5].into(), refusal });
    };
    loop {
        let message = socket.read().unwrap();
        match ClientMessage::decode(&message.into_data()).unwrap() {
            ClientMessage::Agent { .. } => answer(socket, 0),
            ClientMessage::Close { .. } => break,
            ClientMessage::Get { .. } | ClientMessage::ListAgain => {}
        }
    }
    for number in 1..answers {
        answer(socket, number);
    }
}

#[test]
fn a_hostile_bridge_cannot_flood_the_log_of_a_build() {
    const ANSWERS: usize = 20_000;
    let (flooded, done) = std::sync::mpsc::channel();
    let bridge = FakeBridge::for_connections(2, move |socket, hello| {
        let agent: proto::agent::AgentId = "default".parse().unwrap();
        send(socket, &HostMessage::Welcome { agents: vec![agent] });
        if hello.agent.is_some() {
            send(socket, &HostMessage::Agent { known_hosts: vec![], git_keys: vec![] });
            let identities = vec![Identity { key: vec![1, 2, 3], comment: b"key".to_vec() }];
            send(socket, &HostMessage::Identities { fixed: true, identities });
            flood_with_refusals(socket, ANSWERS);
            flooded.send(()).unwrap();
        }
        until_closed(socket);
    });
    let home = Home::new();
    let mut exec = home
        .command([
            "exec",
            "--leaks=off",
            "--ssh",
            "--sh",
            "echo $SSH_AUTH_SOCK; read -r line; echo over >&2; exit 3",
        ])
        .env("BRIDGE_CONF", &bridge.conf)
        .stdin(std::process::Stdio::piped())
        .start();
    let socket = exec.prints_line();
    let mut client = AgentClient::at(socket.as_ref());
    // Not a list, which the client answers itself.
    assert_eq!(client.ask(&[27, 0, 0, 0, 1, b'x']), [5]);
    drop(client);
    done.recv().unwrap();
    drop(exec.stdin.take());
    let outcome = exec.ends().exits_with(3);
    assert!(outcome.stderr.len() < 256 << 10, "{} bytes", outcome.stderr.len());
    outcome.says("refused: 0 no no").says("left out: too many of one kind").says("over");
}
