//! PEM and OpenSSH keys.

use std::ops::Range;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::{Found, LENIENT};

/// Every OpenSSH key begins like this; with the kind of key, its first line is the same in all of them.
const OPENSSH_HEADER: &str = "b3BlbnNzaC1rZXktdjE";
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// A shorter last line may hold nothing but padding or the key's comment.
const WHOLE_LINE: usize = 32;

impl Found {
    /// Takes the lines of private keys, and returns the text without any PEM block.
    pub(super) fn pem(&mut self, text: &str) -> Zeroizing<String> {
        let mut rest = Zeroizing::new(String::with_capacity(text.len()));
        let mut private: Vec<&str> = Vec::new();
        let mut block: Option<bool> = None;
        for line in text.lines() {
            if let Some(is_private) = block {
                if line.contains("-----END ") {
                    block = None;
                    self.body(&std::mem::take(&mut private));
                } else if is_private && is_base64(line.trim()) {
                    private.push(line.trim());
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
        self.body(&private); // cut off before its end
        rest
    }

    /// The lines of one private key, save those that all keys share and those that only repeat the public key.
    fn body(&mut self, lines: &[&str]) {
        let joined = Zeroizing::new(lines.concat());
        let bytes = Zeroizing::new(LENIENT.decode(joined.as_bytes()).unwrap_or_default());
        let public = public_half(&bytes).and_then(|range| bytes.get(range)).unwrap_or_default();
        let mut before = 0;
        for line in lines {
            let of_line = (before * 6usize).div_ceil(8)..(before + line.len()) * 6 / 8;
            before += line.len();
            let said = bytes.get(of_line).filter(|said| !said.is_empty());
            let repeats = said.is_some_and(|said| public.windows(said.len()).any(|window| window == said));
            if line.starts_with(OPENSSH_HEADER) || repeats {
                continue;
            }
            if line.len() >= WHOLE_LINE {
                self.add(line);
            } else {
                self.add_mask_only(line);
            }
        }
    }
}

/// Not `Proc-Type: 4,ENCRYPTED`.
fn is_base64(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

/// Where in a key the public half stands that `authorized_keys` and certificates have too: whole lines of a private
/// key say nothing else, and OpenSSH even says them twice.
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
    // Lengths beyond any key end where the key does: `get` says no.
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
