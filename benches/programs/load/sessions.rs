//! Many ordinary sessions: kept open, or one after the other as fast as both sides can.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::HostMessage;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, dial, hello};
use crate::stop::Stop;
use crate::{Peer, Result};

/// Clients that dial at once. One processor serves them all.
const DIALLERS: usize = 16;
/// What good clients ask for.
const KEY: &str = "TOKEN";

/// Begins `count` sessions, prints how many began, and keeps them until standard input ends.
pub(crate) fn hold(count: usize) -> Result<()> {
    let (peer, stop) = (Arc::new(Peer::from_env()?), Stop::at_end_of_stdin());
    let begun = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..DIALLERS)
        .map(|_| {
            let (peer, stop, begun) = (Arc::clone(&peer), stop.clone(), Arc::clone(&begun));
            thread::spawn(move || {
                let (mut kept, mut failure) = (Vec::new(), None);
                while begun.fetch_add(1, Ordering::Relaxed) < count && !stop.is_set() {
                    match fetch(&peer) {
                        Ok(client) => kept.push(client),
                        Err(error) => failure = Some(error.to_string()),
                    }
                }
                (kept, failure)
            })
        })
        .collect();
    // Shows that it has not stopped.
    while threads.iter().any(|thread| !thread.is_finished()) {
        stop.sleep(Duration::from_secs(1));
        println!("{{\"begun\":{}}}", begun.load(Ordering::Relaxed));
    }
    let (mut kept, mut failure) = (Vec::new(), None);
    for thread in threads {
        let (clients, failed) = thread.join().map_err(|_| "a thread panicked")?;
        kept.extend(clients);
        failure = failed.or(failure);
    }
    println!("{{\"held\":{},\"failure\":{:?}}}", kept.len(), failure.unwrap_or_default());
    while !stop.is_set() {
        stop.sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// A session that has got its secret.
fn fetch(peer: &Peer) -> Result<Client> {
    let mut client = Client::begin(peer, &hello(&[KEY], false)?)?;
    loop {
        let Message::Binary(payload) = client.read()? else { continue };
        match HostMessage::decode(&payload)? {
            HostMessage::Chunk { .. } => return Ok(client),
            HostMessage::Refused { .. } => return Err("the bridge refused the secret".into()),
            _ => {}
        }
    }
}

/// One exchange with the bare server, without a websocket.
fn bare_exchange(peer: &Peer) -> Result<()> {
    let mut stream = dial(peer)?;
    stream.write_all(b"a question")?;
    stream.flush()?;
    let mut answer = [0; 64];
    match stream.read(&mut answer)? {
        0 => Err("no answer".into()),
        _ => Ok(()),
    }
}

/// Handshakes with one exchange each, until standard input ends; then prints their number. `server` is `bridge` or `bare`.
pub(crate) fn exchange(server: &str) -> Result<()> {
    let exchange: fn(&Peer) -> Result<()> = match server {
        "bridge" => |peer| Ok(fetch(peer)?.socket.close(None)?),
        "bare" => bare_exchange,
        _ => return Err("neither bridge nor bare".into()),
    };
    let (peer, stop) = (Arc::new(Peer::from_env()?), Stop::at_end_of_stdin());
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let threads: Vec<_> = (0..DIALLERS)
        .map(|_| {
            let (peer, stop, done, failed) =
                (Arc::clone(&peer), stop.clone(), Arc::clone(&done), Arc::clone(&failed));
            thread::spawn(move || {
                while !stop.is_set() {
                    let count = if exchange(&peer).is_ok() { &done } else { &failed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    println!("{{\"ready\":true}}");
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    let [done, failed] = [done, failed].map(|count| count.load(Ordering::Relaxed));
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"done\":{done},\"failed\":{failed},\"seconds\":{seconds:.3}}}");
    Ok(())
}
