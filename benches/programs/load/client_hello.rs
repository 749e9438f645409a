//! First messages of TLS clients: with a knock, without one, and recorded from a client that the bridge served.

use std::fs;
use std::io::{Read as _, Write as _, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use proto::tls;
use rustls::{ClientConfig, ClientConnection};

use crate::stop::wait_for_end_of_stdin;
use crate::{Peer, Result};

/// The ClientHello of a client that has the conf. Its knock is valid, and no bridge has got it yet.
pub(crate) fn with_knock(peer: &Peer) -> Result<Vec<u8>> {
    first_flight(peer.tls()?)
}

/// The ClientHello of a TLS client that does not know the conf.
pub(crate) fn without_knock(peer: &Peer) -> Result<Vec<u8>> {
    let mut config = peer.tls()?;
    config.alpn_protocols.clear();
    first_flight(config)
}

fn first_flight(config: ClientConfig) -> Result<Vec<u8>> {
    let mut connection = ClientConnection::new(Arc::new(config), tls::server_name())?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes)?;
    Ok(bytes)
}

/// Relays one connection to the bridge, and writes the client's first TLS record, its ClientHello, to `file`. Prints its
/// port, and that of the bridge.
pub(crate) fn record(file: &str) -> Result<()> {
    let port = Peer::from_env()?.conf.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{{\"port\":{},\"bridge\":{}}}", listener.local_addr()?.port(), port);
    let file = file.to_owned();
    thread::spawn(move || relay(&listener, port, &file).map_err(|error| eprintln!("record: {error}")));
    wait_for_end_of_stdin();
    Ok(())
}

fn relay(listener: &TcpListener, port: u16, file: &str) -> Result<()> {
    let (mut client, _) = listener.accept()?;
    let mut bridge = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // Type, version, length (RFC 8446, 5.1).
    let mut hello = vec![0; 5];
    client.read_exact(&mut hello)?;
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    client.read_exact(&mut hello[5..])?;
    fs::write(file, &hello)?;
    bridge.write_all(&hello)?;
    let (mut from, mut to) = (bridge.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    // Either side may end first.
    let _ = copy(&mut client, &mut bridge);
    let _ = bridge.shutdown(Shutdown::Write);
    Ok(())
}
