//! Keys as ssh-keygen and openssl write them, and signatures as a server verifies them.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use proto::agent::Reader;
use proto::{Encoding, Secret};

use super::*;
use crate::support::require::{OPENSSH, OPENSSL, require};

const PASSPHRASE: &str = "correct horse";
const DATA: &[u8] = b"to be signed";
const TYPES: [(&str, &str); 5] =
    [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")];

/// Runs a program, which has to succeed.
fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
}

/// `key` in a scratch directory, made by ssh-keygen.
fn generated(arguments: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let common = ["-q", "-f", "key", "-C", "deploy key"];
    let path = directory.path().join("key");
    run("ssh-keygen", &[&common, arguments].concat(), directory.path());
    (directory, path)
}

fn unasked(question: &str) -> Result<Secret, PromptError> {
    panic!("asked: {question}")
}

fn load(path: &Path) -> Result<KeyFiles, KeyProblem> {
    KeyFiles::load(&[NamedFile::typed(path)], &mut unasked).map_err(|error| error.problem)
}

fn load_encrypted(path: &Path) -> KeyFiles {
    let mut asked = 0;
    let keys = KeyFiles::load(&[NamedFile::typed(path)], &mut |question| {
        asked += 1;
        assert!(question.contains(path.to_str().unwrap()), "{question}");
        Ok(Secret::from(if asked == 1 { "wrong" } else { PASSPHRASE }.to_owned()))
    });
    assert_eq!(asked, 2);
    keys.unwrap()
}

/// The key or certificate in a `.pub` file.
fn public_blob(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let base64 = text.split(' ').nth(1).unwrap().to_owned();
    Encoding::Base64.decode(base64.into()).unwrap().expose().to_vec()
}

fn check_signatures(keys: &KeyFiles, blob: &[u8]) {
    let key_type = Reader::new(blob).string().unwrap();
    if key_type == b"ssh-rsa" {
        assert_eq!(keys.sign(blob, DATA, 0), None, "SHA-1");
        verify(blob, &keys.sign(blob, DATA, 2).unwrap(), "rsa-sha2-256");
        verify(blob, &keys.sign(blob, DATA, 4).unwrap(), "rsa-sha2-512");
    } else {
        let name = String::from_utf8(key_type.to_vec()).unwrap();
        verify(blob, &keys.sign(blob, DATA, 0).unwrap(), &name);
    }
    assert_eq!(keys.sign(b"another", DATA, 2), None);
}

fn verify(blob: &[u8], signature: &[u8], algorithm: &str) {
    let mut answer = Reader::new(signature);
    assert_eq!(answer.string().unwrap(), algorithm.as_bytes());
    let signature = answer.string().unwrap();
    answer.finish().unwrap();
    let mut key = Reader::new(blob);
    key.string().unwrap();
    let by = |verifier: &'static dyn VerificationAlgorithm, point: &[u8], signature: &[u8]| {
        UnparsedPublicKey::new(verifier, point).verify(DATA, signature).unwrap();
    };
    let ecdsa = |verifier, mut key: Reader<'_>, length: usize| {
        key.string().unwrap();
        let mut numbers = Reader::new(signature);
        let mut fixed = Vec::new();
        for _ in 0..2 {
            let number = numbers.string().unwrap();
            assert!(number[0] & 0x80 == 0 && (number[0] != 0 || number[1] & 0x80 != 0), "shortest form");
            let number = number.strip_prefix(&[0]).unwrap_or(number);
            fixed.resize(fixed.len() + length - number.len(), 0);
            fixed.extend_from_slice(number);
        }
        numbers.finish().unwrap();
        by(verifier, key.string().unwrap(), &fixed);
    };
    match algorithm {
        "ssh-ed25519" => by(&ED25519, key.string().unwrap(), signature),
        "ecdsa-sha2-nistp256" => ecdsa(&ECDSA_P256_SHA256_FIXED, key, 32),
        "ecdsa-sha2-nistp384" => ecdsa(&ECDSA_P384_SHA384_FIXED, key, 48),
        "ecdsa-sha2-nistp521" => ecdsa(&ECDSA_P521_SHA512_FIXED, key, 66),
        _ => {
            let hash = match algorithm {
                "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                _ => &RSA_PKCS1_2048_8192_SHA512,
            };
            let e = key.string().unwrap();
            let n = key.string().unwrap().strip_prefix(&[0]).unwrap();
            RsaPublicKeyComponents { n, e }.verify(hash, DATA, signature).unwrap();
        }
    }
}

#[test]
fn every_type_signs_in_every_format() {
    require!(OPENSSH);
    for (key_type, bits) in TYPES {
        for format in [&["-m", "RFC4716"][..], &["-m", "PEM"], &["-m", "PKCS8"]] {
            let arguments = [&["-t", key_type, "-b", bits, "-N", ""], format].concat();
            let (_directory, path) = generated(&arguments);
            let keys = load(&path).unwrap();
            let openssh = std::fs::read_to_string(&path).unwrap().contains("OPENSSH");
            let comment = if openssh { "deploy key" } else { "key" };
            let blob = public_blob(&path.with_extension("pub"));
            let identity = Identity { key: blob.clone(), comment: comment.into() };
            assert_eq!(keys.identities(), [identity], "{arguments:?}");
            check_signatures(&keys, &blob);
        }
    }
}

#[test]
fn encrypted_keys_are_opened_with_the_second_answer() {
    require!(OPENSSH);
    let ciphers = ["aes256-ctr", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-cbc"];
    let openssh = ciphers.map(|cipher| ["-Z", cipher, "-a", "2"]);
    let pkcs8 = ["-m", "PKCS8", "-a", "2"];
    for (key_type, bits) in TYPES {
        for format in openssh.iter().chain([&pkcs8]) {
            let arguments = [&["-t", key_type, "-b", bits, "-N", PASSPHRASE], &format[..]].concat();
            let (_directory, path) = generated(&arguments);
            let keys = load_encrypted(&path);
            check_signatures(&keys, &public_blob(&path.with_extension("pub")));
        }
    }
}

#[test]
fn numbers_with_leading_zeros_are_read() {
    require!(OPENSSH);
    // Every other nistp521 key has such a number.
    for _ in 0..12 {
        let (_directory, path) = generated(&["-t", "ecdsa", "-b", "521", "-N", ""]);
        check_signatures(&load(&path).unwrap(), &public_blob(&path.with_extension("pub")));
    }
}

#[test]
fn keys_that_openssl_makes_are_read() {
    require!(OPENSSL);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let generate = ["genpkey", "-quiet", "-out", "key"];
    for arguments in [
        &["-algorithm", "ed25519"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "ed25519", "-aes256", "-pass", "pass:correct horse"],
        &["-algorithm", "RSA", "-aes128", "-pass", "pass:correct horse"],
    ] {
        run("openssl", &[&generate[..1], &generate[2..], arguments].concat(), directory.path());
        let keys = if arguments.len() > 4 { load_encrypted(&path) } else { load(&path).unwrap() };
        check_signatures(&keys, &keys.identities()[0].key);
    }
    let curve = ["ecparam", "-name", "prime256v1", "-genkey", "-out", "key"];
    run("openssl", &curve, directory.path());
    let keys = load(&path).unwrap();
    check_signatures(&keys, &keys.identities()[0].key);
}

#[test]
fn unsupported_encryption_types_and_sizes_are_refused() {
    require!(OPENSSL);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let pass = ["-pass", "pass:correct horse"];
    for (arguments, problem) in [
        (&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..], "RsaSize"),
        (&["genpkey", "-algorithm", "X25519"], "UnsupportedType"),
        (&["ecparam", "-name", "secp256k1", "-genkey", "-noout"], "UnsupportedType"),
        (&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "UnsupportedType"),
        (&["genrsa", "-traditional", "-aes128", "-passout", pass[1]], "LegacyEncryption"),
    ] {
        run("openssl", &[arguments, &["-out", "key"]].concat(), directory.path());
        assert_eq!(format!("{:?}", load(&path).unwrap_err()), problem, "{arguments:?}");
    }
    run("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "plain"], directory.path());
    let des = ["pkcs8", "-topk8", "-in", "plain", "-v1", "PBE-SHA1-3DES", "-passout", pass[1], "-out", "key"];
    run("openssl", &des, directory.path());
    let error = KeyFiles::load(&[NamedFile::typed(&path)], &mut |_| Ok(PASSPHRASE.to_owned().into()));
    let error = error.unwrap_err();
    assert!(matches!(error.problem, KeyProblem::UnsupportedEncryption), "{error}");
    assert!(error.to_string().starts_with(&format!("SSH key {}: its encryption", path.display())), "{error}");
}

#[test]
fn security_keys_and_dsa_keys_are_refused_without_a_question() {
    for (key_type, problem) in
        [("sk-ssh-ed25519@openssh.com", "SecurityKey"), ("ssh-dss", "Dsa"), ("ssh-ed448", "UnsupportedType")]
    {
        let mut public = proto::agent::Writer::inner();
        public.string(key_type.as_bytes()).string(&[7; 32]);
        let mut key = proto::agent::Writer::inner();
        key.bytes(b"openssh-key-v1\0").string(b"aes256-ctr").string(b"bcrypt").string(b"").u32(1);
        key.string(&public.finish()).string(&[0; 64]);
        let base64 = Encoding::Base64.encode(Secret::new(key.finish()));
        let base64 = std::str::from_utf8(base64.expose()).unwrap();
        let (_directory, path) = written(&format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{base64}\n-----END OPENSSH PRIVATE KEY-----\n"
        ));
        assert_eq!(format!("{:?}", load(&path).unwrap_err()), problem);
    }
}

#[test]
fn three_wrong_passphrases_or_a_cancelled_question_end_it() {
    require!(OPENSSH);
    for format in [&["-a", "1"][..], &["-m", "PKCS8"]] {
        let arguments = [&["-t", "rsa", "-b", "2048", "-N", PASSPHRASE], format].concat();
        let (_directory, path) = generated(&arguments);
        for wrong in ["wrong", ""] {
            let mut asked = 0;
            let error = KeyFiles::load(&[NamedFile::typed(&path)], &mut |_| {
                asked += 1;
                Ok(wrong.to_owned().into())
            });
            assert!(matches!(error.unwrap_err().problem, KeyProblem::WrongPassphrase));
            assert_eq!(asked, 3);
        }
        let error = KeyFiles::load(&[NamedFile::typed(&path)], &mut |_| Err(PromptError::Cancelled));
        assert!(matches!(error.unwrap_err().problem, KeyProblem::Passphrase(PromptError::Cancelled)));
    }
}

/// `key` signed by a CA, as a certificate for users, or for hosts.
fn certified(directory: &Path, arguments: &[&str]) {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "ca"], directory);
    let sign = ["-q", "-s", "ca", "-I", "someone", "-n", "git"];
    run("ssh-keygen", &[&sign, arguments, &["key.pub"]].concat(), directory);
}

#[test]
fn a_certificate_beside_the_key_is_a_second_identity() {
    require!(OPENSSH);
    for (key_type, bits) in TYPES {
        let (directory, path) = generated(&["-t", key_type, "-b", bits, "-N", ""]);
        certified(directory.path(), &["-V", "+1h", "-O", "no-pty"]);
        let keys = KeyFiles::load(&[NamedFile::typed(&path), NamedFile::typed(&path)], &mut unasked).unwrap();
        let blob = public_blob(&path.with_extension("pub"));
        let certificate = public_blob(&directory.path().join("key-cert.pub"));
        let identity = |key: &Vec<u8>| Identity { key: key.clone(), comment: b"deploy key".to_vec() };
        assert_eq!(keys.identities(), [identity(&blob), identity(&certificate)]);
        let plain_type = String::from_utf8(Reader::new(&blob).string().unwrap().to_vec()).unwrap();
        let algorithm = if key_type == "rsa" { "rsa-sha2-512" } else { &plain_type };
        verify(&blob, &keys.sign(&certificate, DATA, 4).unwrap(), algorithm);
    }
}

#[test]
fn a_certificate_of_another_key_or_for_a_host_is_refused() {
    require!(OPENSSH);
    let (directory, path) = generated(&["-t", "ed25519", "-N", ""]);
    certified(directory.path(), &["-h"]);
    let problem = || load(&path).unwrap_err().to_string();
    assert!(problem().ends_with("is for a host, not for a user"), "{}", problem());
    certified_anew(directory.path());
    std::fs::rename(directory.path().join("key"), directory.path().join("old")).unwrap();
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "key"], directory.path());
    assert!(problem().ends_with("belongs to another key"), "{}", problem());
    let certificate = directory.path().join("key-cert.pub");
    for damaged in ["", "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519 %%%%", "ssh-ed25519 AAAA"] {
        std::fs::write(&certificate, damaged).unwrap();
        assert!(problem().ends_with("is damaged"), "{}", problem());
    }
}

fn certified_anew(directory: &Path) {
    for name in ["ca", "ca.pub", "key-cert.pub"] {
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    certified(directory, &[]);
}

/// `text` in a file that only this user may read.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    crate::private_file::write(&path, text.as_bytes()).unwrap();
    (directory, path)
}

#[test]
fn files_without_keys_are_told_apart() {
    let (directory, path) = written(&"x".repeat((64 << 10) + 1));
    let problem = |path: &Path| format!("{:?}", load(path).unwrap_err());
    assert_eq!(problem(&path), "TooLarge { limit: 65536 }");
    assert_eq!(problem(directory.path()), "NotAFile");
    assert_eq!(problem(&directory.path().join("none")), "Missing");
    std::fs::write(&path, "ssh-ed25519 AAAA me").unwrap();
    assert_eq!(problem(&path), "PublicKey");
    std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----")
        .unwrap();
    assert_eq!(problem(&path), "Malformed");
}

#[test]
fn a_truncated_or_changed_key_does_not_panic() {
    require!(OPENSSH);
    let (_directory, path) = generated(&["-t", "ed25519", "-N", ""]);
    let (_, key) = pem::find(&std::fs::read(&path).unwrap()).unwrap();
    let mut passphrases = Passphrases { path: &path, ask: &mut |_| Err(PromptError::Cancelled) };
    for end in 0..key.len() {
        assert!(openssh::read(&key.expose()[..end], &mut passphrases).is_err());
    }
    for index in 0..key.len() {
        let mut changed = key.expose().to_vec();
        changed[index] ^= 0x80;
        // The check numbers, the comment and the seed's second copy aside, every byte counts.
        let _ = openssh::read(&changed, &mut passphrases);
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    require!(OPENSSH);
    use std::os::unix::fs::PermissionsExt;

    let (_directory, path) = generated(&["-t", "ed25519", "-N", ""]);
    assert!(matches!(load(&path.with_extension("pub")), Err(KeyProblem::PublicKey)));
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let problem = load(&path).unwrap_err();
        let said = problem.to_string();
        assert!(said.contains(&format!("mode {mode:04o}")) && said.contains("chmod 600"), "{said}");
    }
}

#[test]
fn debug_shows_no_key() {
    require!(OPENSSH);
    let (_directory, path) = generated(&["-t", "ed25519", "-N", ""]);
    assert_eq!(format!("{:?}", load(&path).unwrap()), "KeyFiles(1 keys)");
}
