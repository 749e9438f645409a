//! Keys between lines that begin and end them: PEM, OpenSSH, OpenPGP, OpenVPN.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::base64_text::LENIENT;
use super::public;

/// Every OpenSSH key begins with this, in base64. The type of the key follows on the same line, so that the first line is
/// the same in all keys of a type.
const OPENSSH_HEADER: &str = "b3BlbnNzaC1rZXktdjE";

/// In the labels of blocks that are not secret, and that ordinary files hold. All others are: a label that is not known
/// may be that of a secret.
const PUBLIC: [&str; 8] =
    ["CERTIFICATE", "PUBLIC KEY", "CRL", "PARAMETERS", "PKCS7", "CMS", "SIGNATURE", "SIGNED MESSAGE"];

/// A shorter last line may hold only padding or the key's comment.
const MIN_SEARCHED_LINE: usize = 32;

/// Bytes of a public key that are looked for in the rest of the key.
const MAX_REPEATED: usize = 2048;

/// A secret line of a private key.
pub(super) struct KeyLine<'a> {
    pub(super) text: &'a str,
    /// Too short to be searched for, or part of the public key.
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
            if is_mark(line, "END ") {
                block = None;
                secret.extend(secret_lines(&std::mem::take(&mut body)));
            } else if is_private && is_body(line.trim()) {
                body.push(line.trim());
            }
        } else if is_mark(line, "BEGIN ") && line.trim_end().ends_with("---") && !is_mark(line, "END ") {
            block = Some(!PUBLIC.iter().any(|label| line.contains(label)));
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    secret.extend(secret_lines(&body)); // of a block without an end
    (rest, secret)
}

/// Whether `line` begins or ends a block. SSH2 keys have a space before the word.
fn is_mark(line: &str, word: &str) -> bool {
    line.split("---").skip(1).any(|rest| rest.trim_start_matches(['-', ' ']).starts_with(word))
}

/// The lines of one private key, except those that all keys share.
fn secret_lines<'a>(lines: &[&'a str]) -> Vec<KeyLine<'a>> {
    // A line that begins with `=` is the checksum of OpenPGP.
    let encoded = lines.split(|line| line.starts_with('=')).next().unwrap_or_default();
    let joined = Zeroizing::new(encoded.concat());
    let bytes = Zeroizing::new(LENIENT.decode(joined.as_bytes()).unwrap_or_default());
    let ranges = public::ranges(&bytes);
    let repeated = ranges.first().and_then(|range| bytes.get(range.clone())).unwrap_or_default();
    let repeated = repeated.get(..MAX_REPEATED).unwrap_or(repeated);
    let mut before = 0;
    let mut secret = Vec::new();
    for line in lines {
        // Padding is no byte.
        let end = ((before + line.len()) * 6 / 8).min(bytes.len());
        let of_line = (before * 6usize).div_ceil(8)..end;
        before += line.len();
        let decoded = bytes.get(of_line.clone()).filter(|decoded| !decoded.is_empty());
        let is_public = decoded.is_some_and(|decoded| {
            ranges.iter().any(|range| range.start <= of_line.start && of_line.end <= range.end)
                || repeated.windows(decoded.len()).any(|window| window == decoded)
        });
        if !line.starts_with(OPENSSH_HEADER) {
            secret.push(KeyLine { text: line, mask_only: is_public || line.len() < MIN_SEARCHED_LINE });
        }
    }
    secret
}

/// Whether `line` is not a header, such as `Proc-Type: 4,ENCRYPTED`.
fn is_body(line: &str) -> bool {
    !line.is_empty() && !line.contains(|c: char| c.is_whitespace() || c == ':')
}
