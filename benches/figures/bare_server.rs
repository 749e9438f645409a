//! The server for the bare client: TLS with the parameters of the product, and one answer.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use proto::{BridgeConf, ClientSeed};
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::programs::text;
use crate::{Result, bare_tls};

/// Serves on a loopback port for as long as this process runs. Returns the conf for its client.
pub(crate) fn listen() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let client_seed = ClientSeed::new([7; 32]);
    let (config, pin) = bare_tls::config(&client_seed).map_err(|error| -> Box<dyn Error> { error })?;
    let config = Arc::new(config);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            // The client reports errors.
            let _ = answer(tcp, Arc::clone(&config));
        }
    });
    text(&BridgeConf { expiry: None, port, pin, client_seed, endpoints: Vec::new() })
}

fn answer(mut tcp: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    tcp.set_nodelay(true)?;
    let mut tls = ServerConnection::new(config)?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let mut question = [0; 64];
    let length = stream.read(&mut question)?;
    stream.write_all(&question[..length])?;
    // The client closes first, as it does with a bridge.
    let _ = stream.read(&mut question)?;
    Ok(())
}
