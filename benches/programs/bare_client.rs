//! The minimum that any client needs: one TLS 1.3 exchange with the parameters of the product, over a blocking socket,
//! without async runtime, command line, websocket or CBOR. `print` is compared with it.
//!
//! The conf in `BRIDGE_CONF` names the port of a TLS server on this machine.

use std::env;
use std::error::Error;
use std::io::{Read as _, Write as _, stdout};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use proto::knock::Nonce;
use proto::{BridgeConf, tls};
use rustls::{ClientConnection, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    let conf = BridgeConf::parse(&env::var("BRIDGE_CONF")?)?;
    // The bare server reads no knock, so that any nonce will do.
    let config = tls::client_config(conf.pin, &conf.client_seed)?.for_connection(Nonce([0; 8]));
    let mut tls = ClientConnection::new(Arc::new(config), tls::server_name())?;
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, conf.port))?;
    tcp.set_nodelay(true)?;

    let mut stream = Stream::new(&mut tls, &mut tcp);
    stream.write_all(b"a question")?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer)?;
    stdout().write_all(answer.get(..length).unwrap_or_default())?;
    tls.send_close_notify();
    tls.complete_io(&mut tcp)?;
    Ok(())
}
