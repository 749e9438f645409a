use std::path::Path;
use std::process::Command;

use rcgen::PublicKeyData as _;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::*;
use crate::support::require::{JDK, OPENSSL, require};

fn authority(origins: &[&str]) -> Authority {
    let origins: Vec<Origin> = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    Authority::mint(&origins).unwrap()
}

/// A leaf for whatever `host`.
fn leaf(authority: &Authority, host: &str) -> CertificateDer<'static> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    leaf_params(host).unwrap().signed_by(&key, &authority.issuer).unwrap().der().clone()
}

/// What webpki says.
fn verify(authority: &Authority, host: &str) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.root_der().to_vec())).unwrap();
    let leaf = leaf(authority, host);
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&leaf).unwrap(),
        &roots,
        std::slice::from_ref(&authority.intermediate),
        UnixTime::now(),
        authority.provider.signature_verification_algorithms.all,
    )
}

/// Writes root, intermediate and a leaf for `host`.
fn write(directory: &Path, authority: &Authority, host: &str) {
    for (name, text) in [
        ("root.pem", authority.root_pem().to_owned()),
        ("intermediate.pem", pem(&authority.intermediate)),
        ("leaf.pem", pem(&leaf(authority, host))),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

/// What OpenSSL says.
fn openssl(directory: &Path, authority: &Authority, host: &str) -> String {
    write(directory, authority, host);
    let name = if host.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    let output = Command::new("openssl")
        .current_dir(directory)
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore"])
        .args(["-CAfile", "root.pem", "-untrusted", "intermediate.pem", name, host, "leaf.pem"])
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

const NAMES: &[&str] = &["npm.example:443", "a_b.example:8443"];
const ADDRESS: &[&str] = &["npm.example:443", "10.0.0.1:443"];
const ONLY_ADDRESSES: &[&str] = &["10.0.0.1:443", "[2001:db8::1]:443"];

/// Ruled origins, hosts that the CA certifies, and hosts that it cannot certify.
const TABLE: [(&[&str], &[&str], &[&str]); 4] = [
    (NAMES, &["npm.example", "a_b.example"], &["evil.example", "pm.example", "example", "10.0.0.1", "::1"]),
    (
        ADDRESS,
        &["npm.example", "10.0.0.1"],
        &["evil.example", "10.0.0.2", "127.0.0.1", "::1", "::ffff:10.0.0.1"],
    ),
    (&["[2001:db8::1]:443"], &["2001:db8::1"], &["npm.example", "10.0.0.1", "2001:db8::2", "::1"]),
    (ONLY_ADDRESSES, &["10.0.0.1", "2001:db8::1"], &["npm.example", "localhost", "10.0.0.2", "2001:db8::2"]),
];

#[test]
fn only_ruled_hosts_can_be_certified() {
    for (origins, hosts, others) in TABLE {
        let authority = authority(origins);
        for host in hosts {
            assert_eq!(verify(&authority, host), Ok(()), "{origins:?} {host}");
        }
        for host in others {
            let Err(Error::InvalidCertificate(CertificateError::Other(error))) = verify(&authority, host)
            else {
                panic!("{origins:?} {host}");
            };
            assert!(format!("{error:?}").contains("NameConstraintViolation"), "{error:?}");
        }
    }
}

#[test]
fn openssl_enforces_the_constraints_too() {
    require!(OPENSSL);
    let directory = tempfile::tempdir().unwrap();
    for (origins, hosts, others) in TABLE {
        let authority = authority(origins);
        for host in hosts {
            assert_eq!(openssl(directory.path(), &authority, host), "leaf.pem: OK\n", "{origins:?} {host}");
        }
        for host in others {
            let said = openssl(directory.path(), &authority, host);
            assert!(said.contains("subtree violation"), "{origins:?} {host}: {said}");
        }
    }
}

/// What the PKIX validator of a JDK says of chains in directories: one line for each.
const JAVA_PROGRAM: &str = r#"
import java.io.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
class Verify { public static void main(String[] directories) throws Exception {
  CertificateFactory factory = CertificateFactory.getInstance("X.509");
  for (String directory : directories) {
    X509Certificate[] chain = new X509Certificate[3];
    String[] names = {"leaf", "intermediate", "root"};
    for (int i = 0; i < 3; i++) {
      chain[i] = (X509Certificate) factory.generateCertificate(new FileInputStream(new File(directory, names[i] + ".pem")));
    }
    KeyStore store = KeyStore.getInstance("JKS"); store.load(null, null); store.setCertificateEntry("root", chain[2]);
    TrustManagerFactory managers = TrustManagerFactory.getInstance("PKIX"); managers.init(store);
    try {
      X509TrustManager manager = (X509TrustManager) managers.getTrustManagers()[0];
      manager.checkServerTrusted(new X509Certificate[] {chain[0], chain[1]}, "ECDHE_ECDSA");
      System.out.println("OK");
    } catch (CertificateException error) { System.out.println(error.getMessage()); }
  }
} }
"#;

#[test]
fn a_jdk_enforces_the_constraints_too() {
    require!(JDK);
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("Verify.java");
    std::fs::write(&program, JAVA_PROGRAM).unwrap();
    let mut directories = Vec::new();
    let mut expected = Vec::new();
    for (origins, hosts, others) in TABLE {
        let authority = authority(origins);
        for (host, is_ruled) in
            hosts.iter().map(|host| (host, true)).chain(others.iter().map(|host| (host, false)))
        {
            let directory = scratch.path().join(directories.len().to_string());
            std::fs::create_dir(&directory).unwrap();
            write(&directory, &authority, host);
            directories.push(directory);
            expected.push((origins, host, is_ruled));
        }
    }
    let output = Command::new("java").arg(program).args(&directories).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for ((origins, host, is_ruled), line) in expected.into_iter().zip(lines) {
        let found =
            if line == "OK" { Some(true) } else { line.contains("name constraints").then_some(false) };
        assert_eq!(found, Some(is_ruled), "{origins:?} {host}: {line}");
    }
}

#[test]
fn each_proxy_has_its_own_keys_and_one_leaf_a_host() {
    let (first, second) = (authority(NAMES), authority(NAMES));
    assert_ne!(first.root_der(), second.root_der());
    let config = first.server_config("npm.example").unwrap();
    assert!(Arc::ptr_eq(&config, &first.server_config("npm.example").unwrap()));
    assert!(!Arc::ptr_eq(&config, &first.server_config("a_b.example").unwrap()));
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    // The key that is kept is not the root's: its certificates are below the intermediate.
    let kept = first.issuer.key().subject_public_key_info();
    let root = CertificateDer::from(first.root_der().to_vec());
    let root = ParsedCertificate::try_from(&root).unwrap().subject_public_key_info();
    assert_ne!(kept, root.to_vec());
    let intermediate = ParsedCertificate::try_from(&first.intermediate).unwrap().subject_public_key_info();
    assert_eq!(kept, intermediate.to_vec());
}
