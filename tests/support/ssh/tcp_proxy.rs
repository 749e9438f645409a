//! A TCP proxy to a port of this machine whose connections a test can cut.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Forwards connections. They are cut when this is dropped.
pub struct TcpProxy {
    pub port: u16,
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: Vec<TcpStream>,
    accepted: usize,
    closed: bool,
}

impl TcpProxy {
    /// To loopback's `port`.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::<Mutex<State>>::default();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let mut state = lock(&accepting);
                if state.closed {
                    return;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                state.accepted += 1;
                state.open.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || pass(near, far));
                thread::spawn(move || pass(far_again, near_again));
            }
        });
        Self { port: own, shared }
    }

    /// Cuts all open connections; new ones are still accepted.
    pub fn cut(&self) {
        for stream in lock(&self.shared).open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        lock(&self.shared).accepted
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.cut();
        lock(&self.shared).closed = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
