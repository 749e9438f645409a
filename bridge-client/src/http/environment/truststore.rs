//! A truststore for JVMs: the certificates that the JVM trusts by itself, and the CA of the proxy.
//!
//! It is written in the format JKS, of which only the part for certificates is needed. Every JVM reads it, with a property for
//! the password or without. PKCS#12 is read with only one of the two, depending on the version.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

mod pkcs12;

/// The first bytes of a file, and the version that all JVMs since 1.2 write.
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// The tag of an entry with a trusted certificate, and of one with a private key.
const TRUSTED: u32 = 2;
const PRIVATE_KEY: u32 = 1;
/// Most certificates that are read: Mozilla's list has some 150.
const MAX_CERTIFICATES: usize = 8192;

/// The password of the JVM's own truststore. It protects nothing: certificates are public.
pub(super) const DEFAULT_PASSWORD: &str = "changeit";

/// A truststore (JKS) with `certificates` (DER). It can be read without the password, which is checked if it is given.
pub(super) fn write(certificates: &[impl AsRef<[u8]>], password: &str) -> Vec<u8> {
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let mut file = Vec::new();
    file.extend(MAGIC.to_be_bytes());
    file.extend(VERSION.to_be_bytes());
    file.extend((certificates.len() as u32).to_be_bytes());
    for (number, certificate) in certificates.iter().enumerate() {
        let certificate = certificate.as_ref();
        file.extend(TRUSTED.to_be_bytes());
        text(&mut file, &format!("sb{number}"));
        file.extend(milliseconds.to_be_bytes());
        text(&mut file, "X.509");
        file.extend((certificate.len() as u32).to_be_bytes());
        file.extend_from_slice(certificate);
    }
    let check = digest(&file, password);
    file.extend_from_slice(check.as_ref());
    file
}

/// `DataOutputStream.writeUTF` of a short text in ASCII.
fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u16).to_be_bytes());
    file.extend_from_slice(text.as_bytes());
}

/// The check at the end of a file, as sun.security.provider.JavaKeyStore computes it.
fn digest(file: &[u8], password: &str) -> digest::Digest {
    let mut context = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in password.encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    context.update(b"Mighty Aphrodite");
    context.update(file);
    context.finish()
}

/// The trusted certificates in a truststore: JKS, or PKCS#12 without a password, as JVMs have them since version 18. `None` if
/// it is neither.
pub(super) fn read(file: &[u8]) -> Option<Vec<&[u8]>> {
    if file.starts_with(&MAGIC.to_be_bytes()) { read_jks(file) } else { pkcs12::read(file) }
}

fn read_jks(file: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = file.get(4..)?;
    let version = number(&mut rest)?;
    let count = number(&mut rest)?;
    let mut certificates = Vec::new();
    for _ in 0..count {
        let tag = number(&mut rest)?;
        skip_text(&mut rest)?;
        take(&mut rest, 8)?;
        match tag {
            TRUSTED => certificates.push(certificate(&mut rest, version)?),
            PRIVATE_KEY => {
                let key = number(&mut rest)?;
                take(&mut rest, key as usize)?;
                for _ in 0..number(&mut rest)? {
                    certificate(&mut rest, version)?;
                }
            }
            _ => return None,
        }
        if certificates.len() > MAX_CERTIFICATES {
            return None;
        }
    }
    Some(certificates)
}

fn certificate<'a>(rest: &mut &'a [u8], version: u32) -> Option<&'a [u8]> {
    if version == VERSION {
        skip_text(rest)?;
    }
    let length = number(rest)?;
    take(rest, length as usize)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, more) = rest.split_at_checked(length)?;
    *rest = more;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let bytes = take(rest, 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

fn skip_text(rest: &mut &[u8]) -> Option<()> {
    let bytes = take(rest, 2)?.try_into().ok()?;
    take(rest, usize::from(u16::from_be_bytes(bytes)))?;
    Some(())
}

/// The certificates (DER) in a PEM file. What is not valid base64 is left out.
pub(super) fn from_pem(pem: &[u8]) -> Vec<Vec<u8>> {
    let mut certificates = Vec::new();
    let mut body: Option<Vec<u8>> = None;
    for line in pem.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line == b"-----BEGIN CERTIFICATE-----" {
            body = Some(Vec::new());
        } else if line.starts_with(b"-----") {
            let der = body.take().and_then(|body| STANDARD.decode(body).ok());
            certificates.extend(der);
        } else if let Some(body) = &mut body {
            body.extend_from_slice(line);
        }
    }
    certificates
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    #[cfg(target_os = "linux")]
    use crate::support::require::{JAVA, require};

    fn certificate_of(name: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn certificates_survive_a_round_trip_and_no_cut_panics() {
        let certificates = [certificate_of("one.example"), certificate_of("two.example")];
        let file = write(&certificates, DEFAULT_PASSWORD);
        assert_eq!(read(&file).unwrap(), certificates);
        for end in 0..file.len() {
            let _ = read(&file[..end]);
        }
        assert!(read(b"").is_none() && read(b"other").is_none());
        assert!(read(&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff]).is_none());
    }

    #[test]
    fn certificates_are_read_from_pem() {
        let der = certificate_of("one.example");
        let pem = format!(
            "text\r\n-----BEGIN CERTIFICATE-----\r\n{}\r\n-----END CERTIFICATE-----\r\n-----BEGIN CERTIFICATE-----\n%\n-----END",
            STANDARD.encode(&der)
        );
        assert_eq!(from_pem(pem.as_bytes()), [der]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn keytool_reads_what_is_written() {
        require!(JAVA);
        let place = tempfile::TempDir::new().unwrap();
        let file = place.path().join("store");
        fs::write(&file, write(&[certificate_of("one.example")], DEFAULT_PASSWORD)).unwrap();
        let list = |password: &str| {
            let mut keytool = Command::new("keytool");
            keytool.args(["-list", "-keystore"]).arg(&file).args(["-storepass", password]);
            keytool.output().unwrap()
        };
        let listed = list(DEFAULT_PASSWORD);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("sb0, "), "{listed:?}");
        assert!(!list("another").status.success());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn stores_of_keytool_are_read() {
        require!(JAVA);
        let place = tempfile::TempDir::new().unwrap();
        let certificate = certificate_of("one.example");
        fs::write(place.path().join("ca.der"), &certificate).unwrap();
        let import = |kind: &str, properties: &[&str]| {
            let file = place.path().join(kind);
            let mut keytool = Command::new("keytool");
            keytool.current_dir(place.path()).args(properties);
            keytool.args([
                "-importcert",
                "-noprompt",
                "-alias",
                "one",
                "-file",
                "ca.der",
                "-storetype",
                kind,
            ]);
            let imported =
                keytool.arg("-keystore").arg(&file).args(["-storepass", "changeit"]).output().unwrap();
            assert!(imported.status.success(), "{imported:?}");
            fs::read(file).unwrap()
        };
        assert_eq!(read(&import("jks", &[])).unwrap(), [&certificate[..]]);
        // Certificates in it are encrypted with the password.
        assert!(read(&import("pkcs12", &[])).is_none_or(|found| found.is_empty()));
        // As JVMs have it since version 18.
        let open =
            ["-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE", "-J-Dkeystore.pkcs12.macAlgorithm=NONE"];
        let _ = fs::remove_file(place.path().join("pkcs12"));
        assert_eq!(read(&import("pkcs12", &open)).unwrap(), [&certificate[..]]);
    }
}
