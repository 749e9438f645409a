//! Test peers: clients that follow or violate the protocol, and fake bridges.
//!
//! They use `proto` for the protocol's messages, and blocking rustls and tungstenite for the rest. Every wait ends
//! after [`support::LIMIT`](crate::support::LIMIT).

#[cfg(target_os = "linux")]
use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::process::Command;

use proto::{BridgeConf, Endpoint};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::support::LIMIT;
#[cfg(target_os = "linux")]
use crate::support::{BINARY, Home};

mod audit;
mod bridge;
mod certificates;
mod client;
mod relay;
#[cfg(target_os = "linux")]
pub mod stream;

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

/// A `serve` with one secret and an audit file, that may open this number of files.
#[cfg(target_os = "linux")]
pub fn serve_with_descriptors(files: &str, args: &[&str]) -> (Home, Command) {
    let home = Home::new();
    let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret", "TOKEN=hunter2", "--audit", AUDIT];
    let words = [&["-c", &script, BINARY], &serve[..], args].concat();
    let command = home.program("sh", words.iter().map(OsStr::new));
    (home, command)
}

/// Lets this process have as many descriptors as it may.
#[cfg(target_os = "linux")]
pub fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
