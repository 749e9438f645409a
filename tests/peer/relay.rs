//! Relays between a client and a bridge that break connections.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::net::sockopt::set_socket_linger;

use super::listen;

/// Which direction a relay breaks, and what the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Ends the connection once this many bytes came from the bridge.
    FromBridge(u64),
    /// The same, for bytes from the client.
    FromClient(u64),
    /// Resets the connection at once, without a byte to the bridge.
    Reset,
    /// Ends the connection at once.
    End,
}

/// A relay to a bridge.
pub struct Relay {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    /// Bytes that each connection brought from the bridge.
    pub carried: mpsc::Receiver<u64>,
}

impl Relay {
    /// Relays to `to`. The first `count` connections break as `cut` says.
    pub fn to(to: SocketAddr, count: usize, cut: Cut) -> Self {
        let (listener, port) = listen();
        let (sender, carried) = mpsc::channel();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        thread::spawn(move || relay_all(&listener, to, count, cut, &counted, &sender));
        Self { port, connections, carried }
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn relay_all(
    listener: &TcpListener,
    to: SocketAddr,
    count: usize,
    cut: Cut,
    connections: &AtomicUsize,
    sender: &mpsc::Sender<u64>,
) {
    loop {
        let Ok((client, _)) = listener.accept() else { return };
        let is_cut = connections.fetch_add(1, Ordering::SeqCst) < count;
        let (mut from_client, mut from_bridge) = (u64::MAX, u64::MAX);
        match cut {
            Cut::Reset if is_cut => {
                set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
                continue;
            }
            Cut::End if is_cut => continue,
            Cut::FromBridge(bytes) if is_cut => from_bridge = bytes,
            Cut::FromClient(bytes) if is_cut => from_client = bytes,
            Cut::Reset | Cut::End | Cut::FromBridge(_) | Cut::FromClient(_) => {}
        }
        let Ok(bridge) = TcpStream::connect(to) else { continue };
        let ends = [client.try_clone().unwrap(), bridge.try_clone().unwrap()];
        let (mut up, mut host) = (client.try_clone().unwrap(), bridge.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut (&mut up).take(from_client), &mut host);
            let _ = host.flush();
            let how = if from_client == u64::MAX { Shutdown::Write } else { Shutdown::Both };
            let _ = host.shutdown(how);
        });
        let sender = sender.clone();
        thread::spawn(move || {
            let (mut bridge, mut client) = (bridge, client);
            let copied = std::io::copy(&mut (&mut bridge).take(from_bridge), &mut client).unwrap_or(0);
            let _ = client.flush();
            for end in ends {
                let _ = end.shutdown(Shutdown::Both);
            }
            let _ = sender.send(copied);
        });
    }
}
