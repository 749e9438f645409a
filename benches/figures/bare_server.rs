//! The server for the bare client: TLS with the parameters of the product, and one answer.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use proto::ClientSeed;
use proto::tls::{self, KeyExchange};
use proto::{BridgeConf, client_certificate};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::Result;
use crate::programs::text;

/// Serves on a loopback port for as long as this process runs. Returns the conf for its client.
pub(crate) fn listen() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let client_seed = ClientSeed::new([7; 32]);
    let (config, pin) = config(&client_seed)?;
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

fn config(client: &ClientSeed) -> Result<(ServerConfig, proto::Pin)> {
    let ca_key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = params.self_signed(&ca_key)?;
    let pin = tls::pin_of(&ca_key.subject_public_key_info());
    let leaf_key = KeyPair::generate_for(&PKCS_ED25519)?;
    let leaf = CertificateParams::default().signed_by(&leaf_key, &Issuer::new(params, ca_key))?;
    let config = tls::server_config(
        vec![leaf.der().clone(), ca.der().clone()],
        PrivateKeyDer::try_from(leaf_key.serialize_der())?,
        client_certificate::public_key(client)?,
        KeyExchange::Hybrid,
    )?;
    Ok((config, pin))
}
