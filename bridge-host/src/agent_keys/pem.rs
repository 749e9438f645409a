//! Finds the private key in a file: PEM (RFC 7468), parsed as leniently as ssh does. Lines may have any length, and what
//! precedes the key is skipped: OpenSSL writes curve parameters and remarks there.

use proto::{Encoding, Secret};
use zeroize::Zeroizing;

use super::error::KeyProblem;

/// The encoding of a key, by its PEM label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenSsh,
    Pkcs8,
    EncryptedPkcs8,
    Pkcs1,
    Sec1,
}

/// The first private key in `contents`: its format and its bytes.
pub(super) fn find(contents: &[u8]) -> Result<(Format, Secret), KeyProblem> {
    let mut lines = contents.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let label = lines
        .by_ref()
        .filter_map(|line| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .find(|label| label.ends_with(b"PRIVATE KEY"))
        .ok_or_else(|| not_a_private_key(contents))?;
    let format = match label {
        b"OPENSSH PRIVATE KEY" => Format::OpenSsh,
        b"PRIVATE KEY" => Format::Pkcs8,
        b"ENCRYPTED PRIVATE KEY" => Format::EncryptedPkcs8,
        b"RSA PRIVATE KEY" => Format::Pkcs1,
        b"EC PRIVATE KEY" => Format::Sec1,
        b"DSA PRIVATE KEY" => return Err(KeyProblem::Dsa),
        _ => return Err(KeyProblem::NotAKey),
    };
    let mut base64 = Zeroizing::new(Vec::with_capacity(contents.len()));
    for line in lines {
        if line.starts_with(b"-----END ") {
            let base64 = Secret::new(std::mem::take(&mut base64));
            let key = Encoding::Base64.decode(base64).map_err(|_| KeyProblem::Malformed)?;
            return Ok((format, key));
        }
        if line.starts_with(b"Proc-Type:") {
            return Err(KeyProblem::LegacyEncryption);
        }
        base64.extend_from_slice(line);
    }
    Err(KeyProblem::Malformed)
}

/// Why `contents` have no private key.
fn not_a_private_key(contents: &[u8]) -> KeyProblem {
    const PUBLIC: [&[u8]; 7] = [
        b"ssh-",
        b"ecdsa-sha2-",
        b"sk-ssh-",
        b"sk-ecdsa-",
        b"---- BEGIN SSH2 PUBLIC KEY",
        b"-----BEGIN PUBLIC KEY",
        b"-----BEGIN RSA PUBLIC KEY",
    ];
    let start = contents.trim_ascii_start();
    if PUBLIC.iter().any(|public| start.starts_with(public)) {
        KeyProblem::PublicKey
    } else if start.starts_with(b"PuTTY-User-Key-File-") {
        KeyProblem::Putty
    } else {
        KeyProblem::NotAKey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<(Format, Vec<u8>), String> {
        find(text.as_bytes())
            .map(|(format, key)| (format, key.expose().to_vec()))
            .map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn text_before_the_key_is_skipped_and_lines_have_any_length() {
        let text = "Bag Attributes\r\n-----BEGIN EC PARAMETERS-----\r\nBggq\r\n-----END EC PARAMETERS-----\r\n\
                    -----BEGIN EC PRIVATE KEY-----\r\naGVs\r\nbG8=\r\n-----END EC PRIVATE KEY-----";
        assert_eq!(found(text), Ok((Format::Sec1, b"hello".to_vec())));
    }

    #[test]
    fn a_truncated_key_is_damaged() {
        for text in [
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n",
            "-----BEGIN PRIVATE KEY-----\naGVsb\n-----END PRIVATE KEY-----",
        ] {
            assert_eq!(found(text), Err("Malformed".to_owned()), "{text}");
        }
    }

    #[test]
    fn other_contents_are_told_apart() {
        for (text, problem) in [
            ("", "NotAKey"),
            ("hello", "NotAKey"),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "NotAKey"),
            ("-----BEGIN DSA PRIVATE KEY-----", "Dsa"),
            ("ssh-ed25519 AAAA me", "PublicKey"),
            ("PuTTY-User-Key-File-3: ssh-ed25519", "Putty"),
        ] {
            assert_eq!(found(text), Err(problem.to_owned()), "{text}");
        }
    }
}
