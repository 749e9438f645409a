//! Servers that do the least that any server must, to compare the bridge with.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use proto::{BridgeConf, ClientSeed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::{runtime, task};
use tokio_rustls::TlsAcceptor;

use crate::stop::wait_for_end_of_stdin;
use crate::{Result, bare_tls};

/// Accepts each connection, reads once, and closes it; one after the other in one thread, without a task for each.
pub(crate) fn accept_loop() -> Result<()> {
    exit_with_stdin();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{{\"port\":{}}}", listener.local_addr()?.port());
        let mut buffer = [0; 4096];
        loop {
            let (mut tcp, _) = listener.accept().await?;
            // Peers end however they like.
            let _ = tcp.read(&mut buffer).await;
        }
    })
}

/// Completes TLS handshakes with the parameters of the product, reads once, answers once, and waits for the end: in one
/// thread, with a task for each connection. Prints a conf for its clients.
pub(crate) fn tls() -> Result<()> {
    exit_with_stdin();
    let client_seed = ClientSeed::new([7; 32]);
    let (config, pin) = bare_tls::config(&client_seed)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let conf = BridgeConf { expiry: None, port, pin, client_seed, endpoints: Vec::new() };
        println!("{{\"conf\":\"{}\"}}", String::from_utf8_lossy(conf.to_text().expose()));
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            task::spawn(async move {
                let mut stream = acceptor.accept(tcp).await?;
                let mut question = [0; 64];
                let length = stream.read(&mut question).await?;
                stream.write_all(&question[..length]).await?;
                stream.flush().await?;
                // The client closes first, as it does with a bridge.
                stream.read(&mut question).await
            });
        }
    })
}

fn exit_with_stdin() {
    thread::spawn(|| {
        wait_for_end_of_stdin();
        std::process::exit(0);
    });
}
