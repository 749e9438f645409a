//! Servers that do the least that any server must, to compare the bridge with.

use std::net::Ipv4Addr;
use std::thread;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::runtime;

use crate::Result;
use crate::stop::wait_for_end_of_stdin;

/// Accepts each connection, reads once, and closes it; one after the other in one thread, without a task for each.
pub(crate) fn accept_loop() -> Result<()> {
    thread::spawn(|| {
        wait_for_end_of_stdin();
        std::process::exit(0);
    });
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
