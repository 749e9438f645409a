//! Attacks by peers that have the conf.

use std::io::Write as _;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proto::agent::number::SIGN_REQUEST;
use proto::limits::{
    MAX_BINDS, MAX_CHANNELS, MAX_FRAME, MAX_HELLO, MAX_KEYS_PER_GET, MAX_MESSAGE, MAX_REQUESTS,
};
use proto::{ClientMessage, HELLO_HEADER, Key, SessionId, UPGRADE_PATH};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::client::{Client, dial, frame_header, hello};
use crate::stop::Stop;
use crate::{Peer, Result};

/// The key of a secret of 1 MiB, which the bridge must have.
const LARGE: &str = "LARGE";
/// Requests for it in one hello: more than all buffers on the way hold.
const LARGE_IN_HELLO: usize = 64;
/// Of one thread; TLS and websocket buffers are on the heap.
const STACK: usize = 1 << 20;
/// Between attempts that fail.
const PAUSE: Duration = Duration::from_millis(50);

/// What each holder does, again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests as much as a session may, and reads no answer.
    Answers,
    /// The same with keys that the bridge does not have.
    UnknownKeys,
    /// Opens all channels of the agent and fills their queues, while it reads no answer.
    Channels,
    /// Sends all but the last byte of the largest frame.
    Frames,
    /// Sends a message in fragments, and not the last one.
    Fragments,
    /// Sends pings, and reads no pong.
    Pings,
    /// Asks for the agent's keys, and reads no answer.
    Lists,
    /// Proves the client key, and is silent.
    Proven,
    /// Sends all but the end of the largest upgrade request.
    Request,
    /// Requests unknown keys and reads the refusals, in session after session.
    Refusals,
    /// Sends the agent requests that it refuses, in session after session.
    AgentRefusals,
    /// Begins and ends sessions.
    Sessions,
    /// Sends upgrade requests that the bridge refuses.
    BadHellos,
    /// Begins sessions, and breaks them off so that they wait for a redial.
    Abandoned,
    /// Begins sessions and keeps them, until the bridge takes no more.
    Hunger,
    /// The same, and each names the first one as its parent, so that it needs no place.
    Nested,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "answers" => Self::Answers,
            "unknown-keys" => Self::UnknownKeys,
            "channels" => Self::Channels,
            "frames" => Self::Frames,
            "fragments" => Self::Fragments,
            "pings" => Self::Pings,
            "lists" => Self::Lists,
            "proven" => Self::Proven,
            "request" => Self::Request,
            "refusals" => Self::Refusals,
            "agent-refusals" => Self::AgentRefusals,
            "sessions" => Self::Sessions,
            "bad-hellos" => Self::BadHellos,
            "abandoned" => Self::Abandoned,
            "nested" => Self::Nested,
            "hunger" => Self::Hunger,
            _ => return Err(format!("unknown attack {name:?}")),
        })
    }
}

/// Runs `holders` attackers until standard input ends, then prints how many rounds they made, and the last failure.
pub(crate) fn run(kind: Kind, holders: usize) -> Result<()> {
    let (peer, stop, rounds) =
        (Arc::new(Peer::from_env()?), Stop::at_end_of_stdin(), Arc::new(AtomicU64::new(0)));
    let failure = Arc::new(Mutex::new(String::new()));
    for _ in 0..holders {
        let (peer, stop, rounds) = (Arc::clone(&peer), stop.clone(), Arc::clone(&rounds));
        let failure = Arc::clone(&failure);
        thread::Builder::new().stack_size(STACK).spawn(move || {
            let mut kept = Vec::new();
            while !stop.is_set() {
                match round(kind, &peer, &stop, &mut kept) {
                    Ok(()) => _ = rounds.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        *failure.lock().unwrap() = error.to_string();
                        stop.sleep(PAUSE);
                    }
                }
            }
        })?;
    }
    println!("{{\"ready\":true}}");
    stop.wait();
    // The threads end with this process: one that writes to a bridge that reads slowly would go on for minutes.
    println!("{{\"rounds\":{},\"failure\":{:?}}}", rounds.load(Ordering::Relaxed), failure.lock().unwrap());
    Ok(())
}

/// One connection of an attacker.
fn round(kind: Kind, peer: &Peer, stop: &Stop, kept: &mut Vec<(Client, SessionId)>) -> Result<()> {
    match kind {
        Kind::Proven => stay(stop, &mut dial(peer)?.sock),
        Kind::Request => {
            let mut stream = dial(peer)?;
            let start = format!("GET {UPGRADE_PATH} HTTP/1.1\r\nHost: bridge\r\n{HELLO_HEADER}: ");
            stream.write_all(start.as_bytes())?;
            stream.write_all(&vec![b'A'; MAX_HELLO])?;
            stream.flush()?;
            stay(stop, &mut stream.sock)
        }
        Kind::BadHellos => {
            let mut bad = hello(&[], true)?;
            bad.agent = Some("0".repeat(128).parse()?);
            bad.keys = unknown(300);
            // Over the limit of a hello.
            match Client::begin(peer, &bad) {
                Ok(_) | Err(_) => Ok(()),
            }
        }
        Kind::Sessions => {
            let mut client = Client::begin(peer, &hello(&[], false)?)?;
            client.read()?;
            Ok(client.socket.close(None)?)
        }
        Kind::Abandoned => {
            let mut client = Client::begin(peer, &hello(&[LARGE], true)?)?;
            client.read().map(drop)
        }
        Kind::Hunger | Kind::Nested => {
            let mut hello = hello(&[], false)?;
            hello.parent = kept.first().filter(|_| kind == Kind::Nested).map(|(_, first)| *first);
            let mut client = Client::begin(peer, &hello)?;
            client.read()?;
            kept.push((client, hello.session));
            Ok(())
        }
        Kind::Refusals => refusals(&mut Client::begin(peer, &hello(&[], false)?)?, stop),
        Kind::AgentRefusals => agent_refusals(&mut Client::begin(peer, &hello(&[], true)?)?, stop),
        _ => {
            // The bridge waits for its answers to be read before it reads on.
            let large = vec![LARGE; LARGE_IN_HELLO];
            let keys: &[&str] = if kind == Kind::UnknownKeys { &[] } else { &large };
            let mut client = Client::begin(peer, &hello(keys, true)?)?;
            // Ends with a time-out, once the bridge reads no more.
            let _ = send_without_reading(kind, &mut client, stop);
            stay(stop, &mut client.socket.get_mut().sock)
        }
    }
}

fn send_without_reading(kind: Kind, client: &mut Client, stop: &Stop) -> Result<()> {
    match kind {
        Kind::Answers | Kind::UnknownKeys => {
            let first = if kind == Kind::Answers { LARGE_IN_HELLO as u32 } else { 0 };
            let keys = |count| match kind {
                Kind::Answers => vec![LARGE.parse().unwrap(); count],
                _ => unknown(count),
            };
            for first in (first..MAX_REQUESTS - MAX_KEYS_PER_GET as u32).step_by(MAX_KEYS_PER_GET) {
                client.send(&ClientMessage::Get { first, keys: keys(MAX_KEYS_PER_GET) })?;
            }
        }
        Kind::Channels => {
            let mut message = vec![0; MAX_MESSAGE];
            message[0] = SIGN_REQUEST;
            for _ in 0..=MAX_BINDS {
                for channel in 0..MAX_CHANNELS as u32 {
                    client.send(&ClientMessage::Agent { channel, message: &message })?;
                }
            }
        }
        Kind::Frames => {
            client.write(&frame_header(0x82, MAX_FRAME as u64))?;
            client.write(&vec![0; MAX_FRAME - 1])?;
        }
        Kind::Fragments => {
            client.write(&frame_header(0x02, MAX_FRAME as u64 / 2))?;
            client.write(&vec![0; MAX_FRAME / 2])?;
            client.write(&frame_header(0x00, MAX_FRAME as u64 / 2 - 1))?;
            client.write(&vec![0; MAX_FRAME / 2 - 1])?;
        }
        Kind::Pings => {
            let payload = Bytes::from(vec![7; 125]);
            while !stop.is_set() {
                client.socket.send(Message::Ping(payload.clone()))?;
            }
        }
        _ => {
            while !stop.is_set() {
                client.send(&ClientMessage::ListAgain)?;
            }
        }
    }
    Ok(())
}

/// Uses up the requests of a session with keys that the bridge does not have, and reads every refusal.
fn refusals(client: &mut Client, stop: &Stop) -> Result<()> {
    client.read()?;
    for first in (0..MAX_REQUESTS).step_by(MAX_KEYS_PER_GET) {
        client.send(&ClientMessage::Get { first, keys: unknown(MAX_KEYS_PER_GET) })?;
        for _ in 0..MAX_KEYS_PER_GET {
            if stop.is_set() {
                return Ok(());
            }
            client.read()?;
        }
    }
    Ok(())
}

fn agent_refusals(client: &mut Client, stop: &Stop) -> Result<()> {
    // welcome, agent, identities
    for _ in 0..3 {
        client.read()?;
    }
    // No sign request can be parsed from it.
    let message = [SIGN_REQUEST; 64];
    for _ in 0..10_000 {
        if stop.is_set() {
            break;
        }
        client.send(&ClientMessage::Agent { channel: 0, message: &message })?;
        client.read()?;
    }
    Ok(())
}

/// Keys of the maximum length, which no bridge has.
fn unknown(count: usize) -> Vec<Key> {
    (0..count).map(|number| format!("{number:0>128}").parse().unwrap()).collect()
}

/// Keeps a connection until the bridge ends it, or the attack ends.
fn stay(stop: &Stop, tcp: &mut std::net::TcpStream) -> Result<()> {
    tcp.set_nonblocking(true)?;
    let mut byte = [0];
    while !stop.is_set() {
        stop.sleep(Duration::from_millis(200));
        // Whether there is an end can only be seen behind unread bytes, but a reset is seen at once.
        if matches!(tcp.take_error(), Ok(Some(_)) | Err(_)) || matches!(tcp.peek(&mut byte), Ok(0)) {
            return Ok(());
        }
    }
    Ok(())
}
