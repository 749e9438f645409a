//! Private keys of `--ssh ID=FILE`.

use std::time::SystemTime;

use bridge_host::fuzzing::KeyFile;
use proto::agent::{SESSION_BIND, Writer, number};
use ssh_policy::{AgentPolicy, ConnectionState, Verdict};

use crate::checks::{MAX_ERROR, assert_shown};

/// A key file. What loads signs, and the policy's own verification accepts the signature.
pub fn key_files(data: &[u8]) {
    // Each attempt costs as many rounds of bcrypt as the file asks for: only seeds are decrypted, by a test.
    let key = match KeyFile::parse(data, "") {
        Ok(key) => key,
        Err(problem) => return assert_shown(&problem.to_string(), MAX_ERROR),
    };
    let session = [7; 32];
    let Some(signature) = key.sign(&session) else { return };
    let mut bind = Writer::new(number::EXTENSION);
    bind.string(SESSION_BIND).string(key.public()).string(&session).string(&signature).bool(false);
    let message = bind.finish();
    let mut state = ConnectionState::default();
    let verdict = state.decide(&AgentPolicy::default(), &[], &message, SystemTime::UNIX_EPOCH);
    let accepted = matches!(&verdict, Verdict::AcceptBind { upstream } if *upstream == message);
    assert!(accepted, "the signature of a key that was loaded is not valid: {verdict:?}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        &include_bytes!("../seeds/key_files/ed25519")[..],
        include_bytes!("../seeds/key_files/ed25519_encrypted"),
        include_bytes!("../seeds/key_files/p256"),
        include_bytes!("../seeds/key_files/p384_sec1"),
        include_bytes!("../seeds/key_files/p521"),
        include_bytes!("../seeds/key_files/p256_pkcs8"),
        include_bytes!("../seeds/key_files/p256_pkcs8_encrypted"),
        include_bytes!("../seeds/key_files/rsa"),
        include_bytes!("../seeds/key_files/rsa_pkcs1"),
        b"ssh-ed25519 AAAA me",
        b"PuTTY-User-Key-File-3: ssh-ed25519",
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
