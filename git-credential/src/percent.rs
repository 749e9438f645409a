//! Percent-encoding (RFC 3986, 2.1).

use proto::Secret;
use zeroize::Zeroizing;

/// Appends `bytes` percent-encoded to `text`, except RFC 3986's unreserved characters and those in `kept`.
pub(crate) fn encode(bytes: &[u8], kept: &[u8], text: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or_default();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Decodes `text`; `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &[u8]) -> Option<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, next)) = rest.split_first() {
        rest = next;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |index: usize| char::from(*next.get(index)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = next.get(2..)?;
    }
    Some(Secret::new(std::mem::take(&mut *bytes)))
}
