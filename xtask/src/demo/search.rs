//! Searches bytes for a secret in its likely encodings. Independent of the product's own search.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::failure::{Result, While, failure};
use crate::run::Run;

/// A bridge conf has more characters than this after its prefix; other text with the prefix, as in our own binary, has
/// fewer.
const CONF_LENGTH: usize = 90;
const CONF_PREFIX: &[u8] = b"sb1_";

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What to search for.
pub(super) struct Needles {
    /// Encodings of the secret, each with its name.
    encodings: Vec<(String, Vec<u8>)>,
    /// A string that must be found.
    proof: Vec<u8>,
}

impl Needles {
    pub(super) fn of(secret: &str, proof: &str) -> Self {
        let bytes = secret.as_bytes();
        let mut encodings = vec![("raw".to_owned(), bytes.to_vec())];
        for offset in 0..3 {
            encodings.push((format!("base64 at offset {offset}"), base64(bytes, offset, STANDARD)));
            encodings.push((format!("base64url at offset {offset}"), base64(bytes, offset, URL_SAFE)));
        }
        let mut encoded = [String::new(), String::new(), String::new(), String::new()];
        let [url, url_lower, hex, hex_upper] = &mut encoded;
        for byte in bytes {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
            let _ = if plain { write!(url, "{}", char::from(*byte)) } else { write!(url, "%{byte:02X}") };
            let _ = if plain {
                write!(url_lower, "{}", char::from(*byte))
            } else {
                write!(url_lower, "%{byte:02x}")
            };
            let _ = write!(hex, "{byte:02x}");
            let _ = write!(hex_upper, "{byte:02X}");
        }
        for (name, form) in
            ["URL-encoded", "URL-encoded in lower case", "hex", "hex in upper case"].into_iter().zip(encoded)
        {
            encodings.push((name.to_owned(), form.into_bytes()));
        }
        Self { encodings, proof: proof.as_bytes().to_vec() }
    }
}

/// The base64 characters that depend only on `bytes`, if they begin `offset` bytes into the encoded data.
fn base64(bytes: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    // The first group of six bits that consists only of bits of ours.
    let mut at = (6 - offset * 8 % 6) % 6;
    while at + 6 <= bytes.len() * 8 {
        let group = (at..at + 6).fold(0, |group, at| group << 1 | bit(at));
        encoded.extend(alphabet.get(group));
        at += 6;
    }
    encoded
}

/// The results of a search.
#[derive(Default)]
pub(super) struct Findings {
    /// Descriptions of what was searched.
    pub(super) searched: Vec<String>,
    /// One line for each leak: what, in which encoding, where.
    pub(super) leaks: Vec<String>,
    /// Whether the proof was found.
    pub(super) proof: bool,
}

impl Findings {
    /// Searches `bytes`; leaks are reported in `name`.
    pub(super) fn search(&mut self, needles: &Needles, name: &str, bytes: &[u8]) {
        for (encoding, needle) in &needles.encodings {
            if contains(bytes, needle) {
                self.leaks.push(format!("the token, {encoding}, in {name}"));
            }
        }
        if has_conf(bytes) {
            self.leaks.push(format!("a bridge conf in {name}"));
        }
        self.proof |= contains(bytes, &needles.proof);
    }

    /// Searches all files below `dir`, their names, and the targets of links; compressed files are unpacked first.
    /// Returns the number of files and bytes.
    pub(super) fn search_dir(&mut self, needles: &Needles, name: &str, dir: &Path) -> Result<(u64, u64)> {
        let (mut files, mut total) = (0, 0);
        let mut pending = vec![dir.to_path_buf()];
        while let Some(path) = pending.pop() {
            let shown = format!("{name}: {}", path.strip_prefix(dir).unwrap_or(&path).display());
            self.search(needles, &shown, shown.as_bytes());
            let doing = format!("read {}", path.display());
            let kind = fs::symlink_metadata(&path).while_doing(&doing)?;
            if kind.is_dir() {
                for entry in fs::read_dir(&path).while_doing(&doing)? {
                    pending.push(entry.while_doing(&doing)?.path());
                }
                continue;
            }
            let bytes = if kind.is_symlink() {
                fs::read_link(&path).while_doing(&doing)?.into_os_string().into_encoded_bytes()
            } else {
                unpacked(&path)?
            };
            files += 1;
            total += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.search(needles, &shown, &bytes);
        }
        Ok((files, total))
    }
}

/// The contents of a file, decompressed. Some daemons store layers compressed, as a registry sends them.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).while_doing(format_args!("read {}", path.display()))?;
    let program = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => return Ok(bytes),
    };
    let unpacked = path.with_extension("unpacked");
    Run::new(program)
        .args(["--decompress", "--stdout"])
        .arg(path)
        .write_to(&unpacked)
        .map_err(|cause| failure!("cannot search {}: {cause}", path.display()))?;
    let bytes = fs::read(&unpacked).while_doing(format_args!("read {}", unpacked.display()))?;
    fs::remove_file(&unpacked).while_doing(format_args!("remove {}", unpacked.display()))?;
    Ok(bytes)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    positions(bytes, needle).next().is_some()
}

fn has_conf(bytes: &[u8]) -> bool {
    positions(bytes, CONF_PREFIX).any(|at| {
        let rest = bytes.get(at + CONF_PREFIX.len()..).unwrap_or_default();
        rest.iter().take_while(|byte| URL_SAFE.contains(byte)).take(CONF_LENGTH).count() == CONF_LENGTH
    })
}

/// Where `needle` begins in `bytes`.
fn positions<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes
        .windows(needle.len().max(1))
        .enumerate()
        .filter(move |(_, window)| *window == needle)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "npm_s3cr3t+/token=";

    fn leaks_of(text: &[u8]) -> Vec<String> {
        let mut findings = Findings::default();
        findings.search(&Needles::of(SECRET, "proof"), "it", text);
        findings.leaks
    }

    #[test]
    fn a_secret_is_found_in_every_encoding() {
        // Encoded by other programs: base64, od, python's urllib.
        for (encoding, text) in [
            ("raw", "x npm_s3cr3t+/token= y"),
            ("base64 at offset 0", "bnBtX3MzY3IzdCsvdG9rZW49"),
            ("base64 at offset 1", "YW5wbV9zM2NyM3QrL3Rva2VuPWI="),
            ("base64 at offset 2", "YWFucG1fczNjcjN0Ky90b2tlbj1i"),
            ("URL-encoded", "npm_s3cr3t%2B%2Ftoken%3D"),
            ("URL-encoded in lower case", "npm_s3cr3t%2b%2ftoken%3d"),
            ("hex", "6e706d5f7333637233742b2f746f6b656e3d"),
            ("hex in upper case", "6E706D5F7333637233742B2F746F6B656E3D"),
        ] {
            let wanted = format!("the token, {encoding}, in it");
            assert!(
                leaks_of(text.as_bytes()).contains(&wanted),
                "{encoding}: {:?}",
                leaks_of(text.as_bytes())
            );
        }
    }

    #[test]
    fn a_conf_is_found_but_not_its_prefix_alone() {
        assert_eq!(leaks_of(b"a conf begins with sb1_, as in sb1_abc"), Vec::<String>::new());
        let conf = format!("FTP_PROXY=sb1_{}", "aZ0-_".repeat(18));
        assert_eq!(leaks_of(conf.as_bytes()), ["a bridge conf in it"]);
    }
}
