//! The self-signed certificate around a client key.
//!
//! TLS clients in every language can present a certificate, few a raw public key (RFC 7250). The bridge ignores all
//! of it but the key: it compares the `SubjectPublicKeyInfo` and checks `CertificateVerify`.
//! With Ed25519 all lengths are fixed, so a few nested DER values (X.690) do without a certificate library.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;

use crate::conf::ClientSeed;
use crate::error::TlsError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXPLICIT_0: u8 = 0xa0;

/// 1.3.101.112, id-Ed25519 (RFC 8410).
const ID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 2.5.4.3, id-at-commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The `SubjectPublicKeyInfo` of the client key, by which the bridge recognises the client.
///
/// # Errors
/// [`TlsError::ClientKey`], which the library's signature allows for; every seed makes a key.
pub fn public_key(seed: &ClientSeed) -> Result<SubjectPublicKeyInfoDer<'static>, TlsError> {
    Ok(spki(key_pair(seed)?.public_key().as_ref()).into())
}

/// The certificate a client presents, with its private key.
///
/// # Errors
/// As [`public_key`].
pub(crate) fn certified_key(seed: &ClientSeed) -> Result<CertifiedKey, TlsError> {
    let key = key_pair(seed)?;
    let algorithm = der(SEQUENCE, &[&der(OID, &[ID_ED25519])]);
    let common_name =
        der(SEQUENCE, &[&der(OID, &[COMMON_NAME]), &der(UTF8_STRING, &[b"secrets-bridge client"])]);
    let name = der(SEQUENCE, &[&der(SET, &[&common_name])]);
    // Always valid (RFC 5280, 4.1.2.5): the key is of no use once its bridge has ended.
    let validity =
        der(SEQUENCE, &[&der(UTC_TIME, &[b"700101000000Z"]), &der(GENERALIZED_TIME, &[b"99991231235959Z"])]);
    let to_be_signed = der(
        SEQUENCE,
        &[
            &der(EXPLICIT_0, &[&der(INTEGER, &[&[2]])]), // version 3
            &der(INTEGER, &[&[1]]),                      // serial number
            &algorithm,
            &name,
            &validity,
            &name,
            &spki(key.public_key().as_ref()),
        ],
    );
    let signature = der(BIT_STRING, &[&[0], key.sign(&to_be_signed).as_ref()]);
    let certificate = der(SEQUENCE, &[&to_be_signed, &algorithm, &signature]);

    // PKCS #8 (RFC 8410, 7): the private key is an OCTET STRING within an OCTET STRING.
    let inner = der(OCTET_STRING, &[seed.expose()]);
    let pkcs8 = der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &algorithm, &der(OCTET_STRING, &[&inner])]);
    // Not `any_supported_type`, which tries RSA and three elliptic curves first.
    let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))?;
    Ok(CertifiedKey::new(vec![certificate.into()], signer))
}

fn key_pair(seed: &ClientSeed) -> Result<Ed25519KeyPair, TlsError> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| TlsError::ClientKey)
}

fn spki(public_key: &[u8]) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[&der(OID, &[ID_ED25519])]);
    der(SEQUENCE, &[&algorithm, &der(BIT_STRING, &[&[0], public_key])])
}

/// One DER value. Nothing in here reaches 256 bytes before the outermost two, which stay below 64 KiB.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let [.., high, low] = length.to_be_bytes();
    let mut value = vec![tag];
    match length {
        0..=0x7f => value.push(low),
        0x80..=0xff => value.extend_from_slice(&[0x81, low]),
        _ => value.extend_from_slice(&[0x82, high, low]),
    }
    value.extend_from_slice(&contents);
    value
}
