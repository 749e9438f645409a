//! The public parts of private keys, which `authorized_keys`, certificates and key rings hold too. Whole lines of a private
//! key consist of them.

use std::ops::Range;

const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// Most packets of an OpenPGP key that are read.
const MAX_PACKETS: usize = 256;

/// The ranges of the decoded `key` that are public.
pub(super) fn ranges(key: &[u8]) -> Vec<Range<usize>> {
    if key.starts_with(OPENSSH_MAGIC) {
        return openssh(key).into_iter().collect();
    }
    if key.starts_with(&[0x30]) {
        return rsa(key).or_else(|| ec(key)).into_iter().collect();
    }
    openpgp(key)
}

/// OpenSSH even writes the public key twice.
fn openssh(key: &[u8]) -> Option<Range<usize>> {
    let skip = |at: usize| Some(at + 4 + number(key.get(at..at + 4)?));
    // Cipher, KDF, its options, the number of keys, the public key.
    let count = skip(skip(skip(OPENSSH_MAGIC.len())?)?)?;
    Some(count + 8..skip(count + 4)?)
}

/// RSA in DER: the modulus is the first long INTEGER.
fn rsa(key: &[u8]) -> Option<Range<usize>> {
    let head = key.get(..64).filter(|head| head.starts_with(&[0x30, 0x82]))?;
    let at = head.windows(3).position(|bytes| matches!(bytes, [2, 0x82, 1..=8]))?;
    Some(at + 4..at + 4 + number(key.get(at + 2..at + 4)?))
}

/// Elliptic curves in DER (RFC 5915): the public key is the last field, an uncompressed point in a BIT STRING.
fn ec(key: &[u8]) -> Option<Range<usize>> {
    let at =
        key.windows(5).position(|bytes| matches!(bytes, [0xa1, _, 3, _, 0] | [0xa1, 0x81, _, 3, 0x81]))?;
    Some(at..key.len())
}

/// OpenPGP (RFC 9580): user IDs, signatures, and the first fields of each secret key.
fn openpgp(key: &[u8]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_PACKETS {
        let Some((tag, body)) = packet(key, at) else { break };
        let is_secret_key = matches!(tag, 5 | 7);
        if at == 0 && !is_secret_key {
            break;
        }
        let content = key.get(body.clone()).unwrap_or_default();
        let end = if is_secret_key { body.start + public_fields(content).unwrap_or(0) } else { body.end };
        match ranges.last_mut() {
            Some(last) if last.end == at => last.end = end,
            Some(_) | None => ranges.push(at..end),
        }
        at = body.end;
    }
    ranges
}

/// The tag of the packet at `at`, and the range of its body.
fn packet(key: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let head = *key.get(at)?;
    let byte = |n: usize| key.get(at + n).copied().map(usize::from);
    let (tag, header, length) = match (head >> 6, head & 3) {
        (3, _) => match byte(1)? {
            short @ ..192 => (head & 63, 2, short),
            long @ 192..224 => (head & 63, 3, ((long - 192) << 8) + byte(2)? + 192),
            255 => (head & 63, 6, number(key.get(at + 2..at + 6)?)),
            // In parts, which keys are not written in.
            _ => return None,
        },
        (2, 0) => (head >> 2 & 15, 2, byte(1)?),
        (2, 1) => (head >> 2 & 15, 3, number(key.get(at + 1..at + 3)?)),
        (2, 2) => (head >> 2 & 15, 5, number(key.get(at + 1..at + 5)?)),
        _ => return None,
    };
    let start = at + header;
    let end = start.checked_add(length).filter(|end| *end <= key.len() && *end > at)?;
    Some((tag, start..end))
}

/// The length of the public fields of a secret key: version, time, algorithm, public parameters.
fn public_fields(key: &[u8]) -> Option<usize> {
    let integer = |at: usize| Some(at + 2 + number(key.get(at..at + 2)?).div_ceil(8));
    let counted = |at: usize| Some(at + 1 + usize::from(*key.get(at)?));
    if *key.first()? == 6 {
        return Some(10 + number(key.get(6..10)?));
    }
    match *key.get(5)? {
        1..=3 => integer(integer(6)?),
        16 => integer(integer(integer(6)?)?),
        17 => integer(integer(integer(integer(6)?)?)?),
        18 => counted(integer(counted(6)?)?),
        19 | 22 => integer(counted(6)?),
        _ => Some(6),
    }
}

fn number(bytes: &[u8]) -> usize {
    // `get` rejects a length beyond the key.
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
