//! Promises 2 and 8: no peer passes the TLS handshake without the conf's client key, and refused peers cost little and
//! do not keep others out.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use proto::ClientSeed;
use proto::tls::server_name;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use serde_json::Value;

use crate::peer;
use crate::peer::{
    AUDIT, AcceptAny, Presents, PresentsNothing, alert, certificate_of, conf, connect, records,
    refused_handshakes, tls_of,
};
use crate::support::{Bridge, Start as _};

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2", "--audit", AUDIT])
}

/// Ends the bridge and checks that its records have exactly these refused handshakes and no other event.
#[track_caller]
fn assert_only_refused(bridge: &Bridge, causes: &[(&str, u64)]) {
    let records = records(bridge);
    let expected: BTreeMap<String, u64> =
        causes.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect();
    assert_eq!(refused_handshakes(&records), expected);
    let others: Vec<&Value> = records
        .iter()
        .filter(|record| {
            !["bridge-begun", "handshakes-refused", "bridge-ended"]
                .contains(&record["record"].as_str().unwrap())
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// The bridge's answer to a peer that sends `bytes` and then closes its sending half.
fn answer(bridge: &Bridge, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = connect(bridge.address());
    tcp.write_all(bytes).unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    answer
}

/// The alert in an unencrypted TLS record, if that is what `bytes` are.
fn plain_alert(bytes: &[u8]) -> Option<u8> {
    match bytes {
        // Alert, a version, two bytes, fatal.
        [21, 3, _, 0, 2, 2, alert] => Some(*alert),
        _ => None,
    }
}

/// A client of `bridge` that offers these key exchanges alone.
fn offering(bridge: &Bridge, groups: Vec<&'static dyn SupportedKxGroup>) -> ClientConfig {
    let proper = tls_of(&conf(&bridge.conf));
    let provider = CryptoProvider { kx_groups: groups, ..default_provider() };
    let mut tls = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_client_cert_resolver(proper.client_auth_cert_resolver);
    tls.alpn_protocols = proper.alpn_protocols;
    tls
}

/// The ClientHello of a client of `bridge`.
fn client_hello(bridge: &Bridge) -> Vec<u8> {
    let tls = tls_of(&conf(&bridge.conf));
    let mut connection = ClientConnection::new(Arc::new(tls), server_name()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_peer_without_a_client_key_is_refused() {
    let bridge = bridge();
    let mut tls = tls_of(&conf(&bridge.conf));
    tls.client_auth_cert_resolver = Arc::new(PresentsNothing);
    assert_eq!(alert(bridge.address(), tls), AlertDescription::CertificateRequired);
    assert_only_refused(&bridge, &[("no-client-key", 1)]);
}

/// The conf of `bridge` with another client key.
fn with_other_key(bridge: &Bridge) -> proto::BridgeConf {
    proto::BridgeConf { client_seed: ClientSeed::new([0x5e; 32]), ..conf(&bridge.conf) }
}

#[test]
fn another_client_key_gets_the_alert_access_denied() {
    let bridge = bridge();
    let mut tls = tls_of(&conf(&bridge.conf));
    tls.client_auth_cert_resolver = tls_of(&with_other_key(&bridge)).client_auth_cert_resolver;
    assert_eq!(alert(bridge.address(), tls), AlertDescription::AccessDenied);
    assert_only_refused(&bridge, &[("other-client-key", 1)]);
}

#[test]
fn the_knock_of_another_conf_is_refused_and_explained() {
    let bridge = bridge();
    let wrong = with_other_key(&bridge);
    // Even a client that has the client key.
    let mut tls = tls_of(&conf(&bridge.conf));
    tls.alpn_protocols = tls_of(&wrong).alpn_protocols;
    assert_eq!(alert(bridge.address(), tls), AlertDescription::AccessDenied);
    let run = |args: &[&str]| bridge.home.command(args).env("BRIDGE_CONF", peer::text(&wrong)).outcome();
    let cause = "the bridge does not know this conf (another run, or another version of secrets-bridge)";
    for args in [&["print", "TOKEN"][..], &["exec", "--", "true"], &["test"], &["kill"]] {
        run(args).fails().says(&format!("127.0.0.1:{}  {cause}", bridge.port()));
    }
    assert_only_refused(&bridge, &[("other-conf", 5)]);
}

#[test]
fn the_client_key_without_a_knock_is_refused() {
    let bridge = bridge();
    let address = bridge.address();
    let with = |protocols: &[&[u8]]| {
        let mut tls = tls_of(&conf(&bridge.conf));
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        tls
    };
    let knock = tls_of(&conf(&bridge.conf)).alpn_protocols.remove(0);
    let mut forged = knock.clone();
    forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
    let (h2, whole) = (&b"h2"[..], knock.as_slice());
    let cases: [&[&[u8]]; 6] = [&[], &[h2], &[b"sb1."], &[whole, h2], &[h2, whole], &[&knock[..46]]];
    for protocols in cases {
        assert_eq!(alert(address, with(protocols)), AlertDescription::AccessDenied, "{protocols:?}");
    }
    assert_eq!(alert(address, with(&[&forged])), AlertDescription::AccessDenied);
    // None of them used up the nonce.
    assert!(peer::TlsClient::with(address, with(&[&knock])).is_ok());
    assert_only_refused(&bridge, &[("no-knock", 6), ("unproven-knock", 1)]);
}

#[test]
fn a_knock_is_accepted_once() {
    let bridge = bridge();
    let tls = tls_of(&conf(&bridge.conf));
    assert!(peer::TlsClient::with(bridge.address(), tls.clone()).is_ok());
    for _ in 0..3 {
        assert_eq!(alert(bridge.address(), tls.clone()), AlertDescription::AccessDenied);
    }
    assert_only_refused(&bridge, &[("replayed-knock", 3)]);
}

#[test]
fn a_public_key_without_its_private_key_is_refused() {
    let bridge = bridge();
    let conf = conf(&bridge.conf);
    let stranger = proto::BridgeConf { client_seed: ClientSeed::new([0x5e; 32]), ..conf.clone() };
    let stolen =
        CertifiedKey::new(certificate_of(&conf).cert.clone(), Arc::clone(&certificate_of(&stranger).key));
    let mut tls = tls_of(&conf);
    tls.client_auth_cert_resolver = Arc::new(Presents(Arc::new(stolen)));
    assert_eq!(alert(bridge.address(), tls), AlertDescription::DecryptError);
    assert_only_refused(&bridge, &[("client-key-not-proven", 1)]);
}

#[test]
fn tls_1_2_is_refused() {
    let bridge = bridge();
    // ClientHello: version 1.2, random, no session, one cipher suite of 1.2, no compression; no `supported_versions`.
    let mut hello = vec![3, 3];
    hello.extend([0x42; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    // supported_groups: x25519; signature_algorithms: ed25519.
    let mut extensions = vec![0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 8, 7];
    // ALPN: the knock.
    let knock = &tls_of(&conf(&bridge.conf)).alpn_protocols[0];
    extensions.extend([0, 16, 0, knock.len() as u8 + 3, 0, knock.len() as u8 + 1, knock.len() as u8]);
    extensions.extend(knock);
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    let answer = answer(&bridge, &record);
    assert_eq!(plain_alert(&answer), Some(70), "protocol_version, and not {answer:?}");
    assert_only_refused(&bridge, &[("incompatible-tls", 1)]);
}

#[test]
fn x25519_alone_is_refused_unless_tls_compat_permits_it() {
    let strict = bridge();
    let tls = offering(&strict, vec![kx_group::X25519]);
    assert_eq!(alert(strict.address(), tls), AlertDescription::HandshakeFailure);
    assert_only_refused(&strict, &[("incompatible-tls", 1)]);

    let compatible = Bridge::serve(["--secret", "TOKEN=hunter2", "--tls-compat"]);
    let tls = offering(&compatible, vec![kx_group::X25519]);
    let dialled = peer::TlsClient::with(compatible.address(), tls).unwrap();
    let mut client = dialled.upgrade(&peer::hello(&["TOKEN"])).unwrap();
    assert!(matches!(client.next(), peer::Received::Welcome));
    assert_eq!(client.next(), peer::Received::Length(0, 7));
    assert_eq!(client.next(), peer::Received::Chunk(0, b"hunter2".to_vec()));
}

#[test]
fn http_and_garbage_get_no_answer_in_http() {
    let bridge = bridge();
    let http = "GET / HTTP/1.1\r\nHost: bridge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let garbage: Vec<u8> = (0..100_000u32).map(|n| (n * 7 % 251) as u8).collect();
    for bytes in [http.as_bytes(), b"SSH-2.0-OpenSSH_9.2\r\n"] {
        assert_eq!(plain_alert(&answer(&bridge, bytes)), Some(49), "access_denied");
    }
    for bytes in [&[0; 20_000][..], &garbage] {
        // The bridge does not read all of it, so that a reset may overtake the alert.
        let mut tcp = connect(bridge.address());
        let _ = tcp.write_all(bytes);
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        assert!(answer.is_empty() || plain_alert(&answer) == Some(49), "{answer:?}");
    }
    assert_only_refused(&bridge, &[("not-tls", 4)]);
}

#[test]
fn a_broken_handshake_is_counted_and_a_stalled_one_is_ended() {
    let bridge = bridge();
    let hello = client_hello(&bridge);
    let half = &hello[..hello.len() / 2];
    assert_eq!(answer(&bridge, half), b"");
    assert_eq!(answer(&bridge, b""), b"");
    // This connection stays open until the bridge ends it.
    let mut silent = connect(bridge.address());
    silent.write_all(half).unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_only_refused(&bridge, &[("gave-up", 2), ("silent", 1)]);
}

#[test]
fn peers_outside_of_allow_from_get_no_byte_of_tls() {
    let args = ["--secret", "TOKEN=hunter2", "--audit", AUDIT, "--allow-from", "10.0.0.0/8,fd00::/8"];
    let bridge = Bridge::serve(args);
    let mut tcp = connect(bridge.address());
    // Bytes that the bridge has not read may turn the close into a reset.
    match tcp.write_all(&client_hello(&bridge)).and_then(|()| tcp.read(&mut [0; 16])) {
        Ok(length) => assert_eq!(length, 0),
        Err(error) => assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind())),
    }
    let outcome = bridge.client(["print", "TOKEN"]).outcome().fails().says(&format!(
        "127.0.0.1:{}  closed the connection at once (excluded by --allow-from, or not a bridge)",
        bridge.port()
    ));
    // To the client this looks like a connection that broke, which it tries again.
    let (before, _) = outcome.stderr.split_once(" attempts in ").unwrap();
    let attempts: u64 = before.rsplit_once('(').unwrap().1.parse().unwrap();
    assert_only_refused(&bridge, &[("address-not-allowed", 1 + attempts)]);
}

#[test]
fn a_client_that_lost_a_race_is_not_a_refusal() {
    let bridge = bridge();
    drop(peer::TlsClient::to(&bridge.conf).unwrap());
    assert_only_refused(&bridge, &[]);
}
