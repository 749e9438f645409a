//! Test peers: clients that follow or violate the protocol, and fake bridges.
//!
//! They use `proto` for the protocol's messages, and blocking rustls and tungstenite for the rest. Every wait ends
//! after [`support::LIMIT`](crate::support::LIMIT).

use std::net::{SocketAddr, TcpListener, TcpStream};

use proto::{BridgeConf, Endpoint};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::support::LIMIT;

mod audit;
mod bridge;
mod certificates;
mod client;
mod relay;

pub use audit::*;
pub use bridge::*;
pub use certificates::*;
pub use client::*;
pub use relay::*;

/// Parses the conf that a bridge printed.
pub fn conf(text: &str) -> BridgeConf {
    BridgeConf::parse(text).unwrap()
}

/// The text of a conf.
pub fn text(conf: &BridgeConf) -> String {
    String::from_utf8(conf.to_text().expose().to_vec()).unwrap()
}

/// The conf with only these endpoints, and `port` for those without a port.
pub fn with_endpoints(conf: &BridgeConf, port: u16, endpoints: &[&str]) -> String {
    let endpoints = endpoints.iter().map(|endpoint| match endpoint.parse() {
        Ok(ip) => Endpoint::Address(ip),
        Err(_) => endpoint.parse().unwrap(),
    });
    text(&BridgeConf { port, endpoints: endpoints.collect(), ..conf.clone() })
}

/// Connects; reads and writes time out after the limit.
pub fn connect(address: SocketAddr) -> TcpStream {
    with_timeouts(TcpStream::connect(address).unwrap())
}

fn with_timeouts(tcp: TcpStream) -> TcpStream {
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

/// A websocket that reads and writes messages of any size.
fn without_size_limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}
