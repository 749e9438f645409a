//! PEM and OpenSSH keys.

use std::ops::Range;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::base64_text::LENIENT;

/// Every OpenSSH key begins with this, in base64. The type of the key follows on the same line, so that the first line is
/// the same in all keys of a type.
const OPENSSH_HEADER: &str = "b3BlbnNzaC1rZXktdjE";
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// A shorter last line may hold only padding or the key's comment.
const MIN_SEARCHED_LINE: usize = 32;

/// A secret line of a private key.
pub(super) struct KeyLine<'a> {
    pub(super) text: &'a str,
    /// Too short to be searched for.
    pub(super) mask_only: bool,
}

/// Splits `text` into the text outside PEM blocks and the secret lines of private keys.
pub(super) fn split(text: &str) -> (Zeroizing<String>, Vec<KeyLine<'_>>) {
    let mut rest = Zeroizing::new(String::with_capacity(text.len()));
    let mut secret = Vec::new();
    let mut body: Vec<&str> = Vec::new();
    let mut block: Option<bool> = None;
    for line in text.lines() {
        if let Some(is_private) = block {
            if line.contains("-----END ") {
                block = None;
                secret.extend(secret_lines(&std::mem::take(&mut body)));
            } else if is_private && is_base64(line.trim()) {
                body.push(line.trim());
            }
        } else if line.contains("-----BEGIN ")
            && line.trim_end().ends_with("-----")
            && !line.contains("-----END ")
        {
            block = Some(line.contains("PRIVATE KEY"));
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    secret.extend(secret_lines(&body)); // of a block without an end
    (rest, secret)
}

/// The lines of one private key, except those that all keys share and those that only repeat the public key.
fn secret_lines<'a>(lines: &[&'a str]) -> Vec<KeyLine<'a>> {
    let joined = Zeroizing::new(lines.concat());
    let bytes = Zeroizing::new(LENIENT.decode(joined.as_bytes()).unwrap_or_default());
    let public = public_half(&bytes).and_then(|range| bytes.get(range)).unwrap_or_default();
    let mut before = 0;
    let mut secret = Vec::new();
    for line in lines {
        let of_line = (before * 6usize).div_ceil(8)..(before + line.len()) * 6 / 8;
        before += line.len();
        let decoded = bytes.get(of_line).filter(|decoded| !decoded.is_empty());
        let is_public =
            decoded.is_some_and(|decoded| public.windows(decoded.len()).any(|window| window == decoded));
        if !line.starts_with(OPENSSH_HEADER) && !is_public {
            secret.push(KeyLine { text: line, mask_only: line.len() < MIN_SEARCHED_LINE });
        }
    }
    secret
}

/// Whether `line` is not a header, such as `Proc-Type: 4,ENCRYPTED`.
fn is_base64(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

/// The range of the public half, which `authorized_keys` and certificates hold too. Whole lines of a private key
/// consist of it, and OpenSSH even writes it twice.
fn public_half(key: &[u8]) -> Option<Range<usize>> {
    if key.starts_with(OPENSSH_MAGIC) {
        let skip = |at: usize| Some(at + 4 + number(key.get(at..at + 4)?));
        // Cipher, KDF, its options, the number of keys, the public key.
        let count = skip(skip(skip(OPENSSH_MAGIC.len())?)?)?;
        return Some(count + 8..skip(count + 4)?);
    }
    // RSA in DER: the modulus is the first long INTEGER.
    let head = key.get(..64).filter(|head| head.starts_with(&[0x30, 0x82]))?;
    let at = head.windows(3).position(|bytes| matches!(bytes, [2, 0x82, 1..=8]))?;
    Some(at + 4..at + 4 + number(key.get(at + 2..at + 4)?))
}

fn number(bytes: &[u8]) -> usize {
    // `get` rejects a length beyond the key.
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
