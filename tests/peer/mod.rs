//! Peers made by hand: clients that keep to the protocol or break it, and bridges that are fake.
//!
//! They use `proto` for what both sides agree on, rustls and tungstenite without any runtime for the rest, and wait
//! no longer than [`support::LIMIT`](crate::support::LIMIT) for anything.

use std::net::{SocketAddr, TcpListener, TcpStream};

use proto::{BridgeConf, Endpoint};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::support::LIMIT;

mod audit;
mod bridge;
mod certificates;
mod client;

pub use audit::*;
pub use bridge::*;
pub use certificates::*;
pub use client::*;

/// What a bridge printed, taken apart.
pub fn conf(text: &str) -> BridgeConf {
    BridgeConf::parse(text).unwrap()
}

/// A conf as a client gets it.
pub fn text(conf: &BridgeConf) -> String {
    String::from_utf8(conf.to_text().expose().to_vec()).unwrap()
}

/// The conf with these endpoints alone, and `port` for what has none of its own.
pub fn leading_to(conf: &BridgeConf, port: u16, endpoints: &[&str]) -> String {
    let endpoints = endpoints.iter().map(|endpoint| match endpoint.parse() {
        Ok(ip) => Endpoint::Address(ip),
        Err(_) => endpoint.parse().unwrap(),
    });
    text(&BridgeConf { port, endpoints: endpoints.collect(), ..conf.clone() })
}

/// Connects, and waits for nothing longer than the limit.
pub fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(tcp: TcpStream) -> TcpStream {
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.set_write_timeout(Some(LIMIT)).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}
/// A listener at a free port of loopback.
pub fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A websocket that reads and writes whatever the test wants.
fn lenient() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}
