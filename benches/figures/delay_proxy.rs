//! A TCP proxy that delays every byte, in both directions. TCP's own handshake ends here, so that only what follows it
//! is delayed; TCP's windows towards both ends are those of this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// Forwards a new port on loopback to `port`, for as long as this process runs. Returns the new port.
pub(crate) fn listen(port: u16, delay: Duration) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = listener.local_addr()?.port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
            // The client and the bridge notice a broken connection themselves.
            let _ = connect(near, far, delay);
        }
    });
    Ok(here)
}

fn connect(near: TcpStream, far: TcpStream, delay: Duration) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    forward(near.try_clone()?, far.try_clone()?, delay);
    forward(far, near, delay);
    Ok(())
}

/// Uses two threads for one direction: reading must not wait until the bytes before are written.
fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let arrives = Instant::now() + delay;
            if sender.send((arrives, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (arrives, bytes) in receiver {
            thread::sleep(arrives.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
