//! A proxy in front of a real ssh-agent that counts requests and can hold them.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use proto::agent::number;
use tempfile::TempDir;

use crate::support::LIMIT;

/// Forwards requests, one at a time for each connection.
pub struct AgentProxy {
    pub socket: PathBuf,
    watched: Arc<Watched>,
    _directory: TempDir,
}

#[derive(Default)]
struct Watched {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Requests of this type are held.
    held: Option<u8>,
    /// How many requests are held.
    waiting: usize,
    /// The types of all requests so far.
    seen: Vec<u8>,
    open: usize,
}

impl AgentProxy {
    /// In front of the agent at `agent`.
    pub fn to(agent: &Path) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let watched = Arc::<Watched>::default();
        let (accepting, agent) = (Arc::clone(&watched), agent.to_owned());
        // This thread ends with the process of the test.
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = UnixStream::connect(&agent) else { continue };
                accepting.change(|state| state.open += 1);
                accepting.pass(near, far);
            }
        });
        Self { socket, watched, _directory: directory }
    }

    /// Holds sign requests from now on.
    pub fn hold_signatures(&self) {
        self.hold(number::SIGN_REQUEST);
    }

    /// Holds requests for the list of keys from now on.
    pub fn hold_lists(&self) {
        self.hold(number::REQUEST_IDENTITIES);
    }

    fn hold(&self, kind: u8) {
        self.watched.change(|state| state.held = Some(kind));
    }

    /// Forwards the held requests, and all later ones.
    pub fn release(&self) {
        self.watched.change(|state| state.held = None);
    }

    /// Waits until a request is held.
    pub fn waits_for_held_request(&self) {
        self.wait("a request that is held", |state| state.waiting > 0);
    }

    /// Waits until all connections are closed.
    pub fn loses_all_connections(&self) {
        self.wait("the end of all connections", |state| state.open == 0);
    }

    /// Waits until this many sign requests came.
    pub fn waits_for_signatures(&self, count: usize) {
        self.wait("sign requests", |state| {
            state.seen.iter().filter(|kind| **kind == number::SIGN_REQUEST).count() >= count
        });
    }

    /// How many sign requests came.
    pub fn signatures(&self) -> usize {
        self.watched.lock().seen.iter().filter(|kind| **kind == number::SIGN_REQUEST).count()
    }

    fn wait(&self, what: &str, until: impl Fn(&State) -> bool) {
        let state = self.watched.lock();
        let waited = self.watched.changed.wait_timeout_while(state, LIMIT, |state| !until(state));
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        assert!(until(&state), "timed out waiting for {what}: {:?}", state.seen);
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Copies both directions. The end of one side ends the other, as without a proxy.
    fn pass(self: &Arc<Self>, near: UnixStream, far: UnixStream) {
        let (mut answers, mut to_near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut answers, &mut to_near);
            let _ = to_near.shutdown(Shutdown::Both);
        });
        // The end of a connection must be seen even while one of its requests is held: one thread reads, another holds.
        let (requests, held) = std::sync::mpsc::channel();
        let (watched, mut reading) = (Arc::clone(self), near);
        thread::spawn(move || {
            while let Ok(message) = read(&mut reading) {
                watched.change(|state| state.seen.extend(message.get(4)));
                let _ = requests.send(message);
            }
            let _ = reading.shutdown(Shutdown::Both);
            watched.change(|state| state.open -= 1);
        });
        let (watched, mut to_agent) = (Arc::clone(self), far);
        thread::spawn(move || {
            for message in held {
                watched.wait_while_held(message.get(4).copied());
                let _ = to_agent.write_all(&message);
            }
            let _ = to_agent.shutdown(Shutdown::Both);
        });
    }

    fn wait_while_held(&self, kind: Option<u8>) {
        let mut state = self.lock();
        if state.held != kind {
            return;
        }
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.held == kind)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
    }
}

/// One message with its length in front.
fn read(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message)?;
    let length = u32::from_be_bytes([message[0], message[1], message[2], message[3]]);
    message.resize(4 + length as usize, 0);
    stream.read_exact(&mut message[4..])?;
    Ok(message)
}
