//! Promise 3: a client talks only to the bridge its conf pins; anything else at that address sees a ClientHello and
//! no more.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread;

use proto::tls::KeyExchange;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_eddsa_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ServerConfig};

use crate::peer::{AcceptAny, Chain, Presents, TlsClient, conf, impostor, listen, with_endpoints};
use crate::support;
use crate::support::{Bridge, Outcome, Start as _};

/// A server that shows `certificates`, signs with `key`, and accepts every client.
fn server(certificates: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> ServerConfig {
    let PrivateKeyDer::Pkcs8(pkcs8) = key else { panic!("not PKCS #8") };
    let shown = CertifiedKey::new(certificates, any_eddsa_type(pkcs8).unwrap());
    let groups = vec![kx_group::X25519MLKEM768];
    let provider = CryptoProvider { kx_groups: groups, ..default_provider() };
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(AcceptAny))
        .with_cert_resolver(Arc::new(Presents(Arc::new(shown))))
}

/// The certificates that the real bridge shows.
fn true_chain(bridge: &Bridge) -> Vec<CertificateDer<'static>> {
    let dialled = TlsClient::to(&bridge.conf).unwrap();
    dialled.0.conn.peer_certificates().unwrap().iter().map(|one| one.clone().into_owned()).collect()
}

/// Runs `exec` and `print` with the conf of a real bridge against an impostor that uses `tls`.
fn against_impostor(bridge: &Bridge, tls: impl Fn() -> ServerConfig + Sync) {
    thread::scope(|scope| {
        scope.spawn(|| assert_impostor_learns_nothing(bridge, &["print", "TOKEN"], tls()));
        scope.spawn(|| {
            assert_impostor_learns_nothing(bridge, &["exec", "-e", "TOKEN", "--", "echo", "started"], tls())
        });
    });
}

fn assert_impostor_learns_nothing(bridge: &Bridge, args: &[&str], tls: ServerConfig) {
    let (port, learnt) = impostor(tls);
    let here = with_endpoints(&conf(&bridge.conf), port, &["127.0.0.1"]);
    bridge
        .home
        .command(args)
        .env("BRIDGE_CONF", here)
        .outcome()
        .fails()
        .says(&format!("127.0.0.1:{port}  another bridge answers there"))
        .says("(wrong pin)");
    let learnt = learnt.join().unwrap();
    assert!(matches!(learnt.error, rustls::Error::AlertReceived(_)), "{:?}", learnt.error);
    // A ClientHello, then a single record that has just room for an alert: the smallest certificate message has over
    // 200 bytes.
    let mut records = learnt.records.into_iter().filter(|(kind, _)| *kind != 20);
    assert!(matches!(records.next(), Some((22, 1000..))));
    let rest: Vec<_> = records.collect();
    assert!(matches!(rest.as_slice(), [(21, 2)] | [(23, ..=40)]), "{rest:?}");
}

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2"])
}

#[test]
fn an_impostor_with_a_ca_of_its_own_learns_nothing() {
    let own = Chain::mint();
    against_impostor(&bridge(), || server(own.certificates.clone(), &own.leaf_key));
}

#[test]
fn an_impostor_with_the_true_ca_and_another_leaf_learns_nothing() {
    let (bridge, own) = (bridge(), Chain::mint());
    let [_, ca] = true_chain(&bridge).try_into().unwrap();
    against_impostor(&bridge, || server(vec![own.certificates[0].clone(), ca.clone()], &own.leaf_key));
}

#[test]
fn an_impostor_with_the_chain_without_its_key_learns_nothing() {
    let (bridge, own) = (bridge(), Chain::mint());
    let chain = true_chain(&bridge);
    against_impostor(&bridge, || server(chain.clone(), &own.leaf_key));
}

#[test]
fn an_impostor_with_the_true_ca_as_its_leaf_learns_nothing() {
    let (bridge, own) = (bridge(), Chain::mint());
    let [_, ca] = true_chain(&bridge).try_into().unwrap();
    against_impostor(&bridge, || server(vec![ca.clone(), ca.clone()], &own.leaf_key));
    against_impostor(&bridge, || server(vec![ca.clone()], &own.leaf_key));
}

/// `print` with a conf that leads to a server that answers each connection with `bytes`.
fn answered_with(bytes: &'static [u8]) -> (u16, Outcome) {
    let bridge = bridge();
    let (listener, port) = listen();
    let server = thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(support::LIMIT)).unwrap();
        // Read the ClientHello first, so that no reset overtakes the answer.
        tcp.read_exact(&mut [0; 1000]).unwrap();
        tcp.write_all(bytes).unwrap();
        let _ = std::io::copy(&mut tcp, &mut std::io::sink());
    });
    let here = with_endpoints(&conf(&bridge.conf), port, &["127.0.0.1"]);
    let outcome = bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", here).outcome();
    server.join().unwrap();
    (port, outcome)
}

#[test]
fn a_service_without_tls_is_told_apart_from_a_bridge() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let (port, outcome) = answered_with(answer);
        outcome.fails().says(&format!("127.0.0.1:{port}  answered, but not as a bridge does"));
    }
}

#[test]
fn a_bridge_without_post_quantum_key_exchange_is_rejected() {
    let bridge = bridge();
    let own = Chain::mint();
    let client = proto::client_certificate::public_key(&conf(&bridge.conf).client_seed).unwrap();
    let key = || own.leaf_key.clone_key();
    let mut tls =
        proto::tls::server_config(own.certificates.clone(), key(), client, KeyExchange::HybridOrX25519)
            .unwrap();
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    tls = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(tls.cert_resolver);
    let (port, learnt) = impostor(tls);
    let here =
        with_endpoints(&proto::BridgeConf { pin: own.pin, ..conf(&bridge.conf) }, port, &["127.0.0.1"]);
    bridge
        .home
        .command(["print", "TOKEN"])
        .env("BRIDGE_CONF", here)
        .outcome()
        .fails()
        .says(&format!("127.0.0.1:{port}  TLS failed"))
        .says(&format!("{:?}", AlertDescription::HandshakeFailure));
    assert!(matches!(learnt.join().unwrap().error, rustls::Error::PeerIncompatible(_)));
}

/// The extensions of a ClientHello (RFC 8446, 4.1.2), by number.
fn extensions(record: &[u8]) -> std::collections::BTreeMap<u16, Vec<u8>> {
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(length);
        *bytes = rest;
        taken
    }
    fn number(bytes: &[u8]) -> usize {
        bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
    let mut rest = record;
    take(&mut rest, 5 + 4 + 2 + 32); // record and handshake headers, legacy version, random
    for length_of_length in [1, 2, 1] {
        // legacy session id, cipher suites, compression methods
        let length = number(take(&mut rest, length_of_length));
        take(&mut rest, length);
    }
    let length = number(take(&mut rest, 2));
    let mut list = take(&mut rest, length);
    let mut extensions = std::collections::BTreeMap::new();
    while !list.is_empty() {
        let kind = number(take(&mut list, 2)) as u16;
        let length = number(take(&mut list, 2));
        extensions.insert(kind, take(&mut list, length).to_vec());
    }
    extensions
}

#[test]
fn a_client_hello_offers_only_tls_1_3_and_ml_kem_and_no_name() {
    let bridge = bridge();
    let (listener, port) = listen();
    let here = with_endpoints(&conf(&bridge.conf), port, &["127.0.0.1"]);
    let client = bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", here).start();
    let (mut tcp, _) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(support::LIMIT)).unwrap();
    let mut head = [0; 5];
    tcp.read_exact(&mut head).unwrap();
    let mut record = head.to_vec();
    record.resize(5 + usize::from(u16::from_be_bytes([head[3], head[4]])), 0);
    tcp.read_exact(&mut record[5..]).unwrap();
    drop((tcp, listener));
    client.ends().fails();

    let extensions = extensions(&record);
    assert_eq!(extensions[&43], [2, 3, 4], "supported_versions: TLS 1.3");
    assert_eq!(extensions[&10], [0, 2, 0x11, 0xec], "supported_groups: X25519MLKEM768");
    assert_eq!(extensions[&51][2..4], [0x11, 0xec], "key_share: X25519MLKEM768");
    assert_eq!(extensions[&13], [0, 2, 8, 7], "signature_algorithms: ed25519");
    assert_eq!(extensions[&16][..7], *b"\x00\x30\x2fsb1.", "ALPN: the knock");
    assert_eq!(extensions[&16].len(), 3 + 47, "ALPN: the knock");
    for (number, name) in
        [(0, "server_name"), (35, "session_ticket"), (41, "pre_shared_key"), (42, "early_data")]
    {
        assert!(!extensions.contains_key(&number), "{name}");
    }
}

#[test]
fn both_sides_agree_on_ml_kem_even_under_tls_compat() {
    for args in [&["--secret", "TOKEN=hunter2"][..], &["--secret", "TOKEN=hunter2", "--tls-compat"]] {
        let bridge = Bridge::serve(args);
        let dialled = TlsClient::to(&bridge.conf).unwrap();
        assert_eq!(
            dialled.0.conn.negotiated_key_exchange_group().unwrap().name(),
            rustls::NamedGroup::X25519MLKEM768
        );
    }
}
