//! Looks for a secret in bytes, in every form in which it is likely to turn up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::failure::{Result, While, failure};
use crate::run::Run;

/// A bridge conf is longer than this; text that merely begins like one, as in our own program, is not.
const CONF_LENGTH: usize = 90;
const CONF_PREFIX: &[u8] = b"sb1_";

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What to look for.
pub(super) struct Needles {
    /// Forms of the secret, each with its name.
    forms: Vec<(String, Vec<u8>)>,
    /// Something that must be found.
    proof: Vec<u8>,
}

impl Needles {
    pub(super) fn of(secret: &str, proof: &str) -> Self {
        let bytes = secret.as_bytes();
        let mut forms = vec![("raw".to_owned(), bytes.to_vec())];
        for offset in 0..3 {
            forms.push((format!("base64 at offset {offset}"), base64(bytes, offset, STANDARD)));
            forms.push((format!("base64url at offset {offset}"), base64(bytes, offset, URL_SAFE)));
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
            forms.push((name.to_owned(), form.into_bytes()));
        }
        Self { forms, proof: proof.as_bytes().to_vec() }
    }
}

/// The characters of base64 that depend on `bytes` alone, when they begin `offset` bytes into what is encoded.
fn base64(bytes: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    // The first whole group of six bits begins where `offset` bytes and some of ours have filled groups.
    let mut at = (6 - offset * 8 % 6) % 6;
    while at + 6 <= bytes.len() * 8 {
        let group = (at..at + 6).fold(0, |group, at| group << 1 | bit(at));
        encoded.extend(alphabet.get(group));
        at += 6;
    }
    encoded
}

/// What was searched, and what was found.
#[derive(Default)]
pub(super) struct Findings {
    /// The checkout, in words.
    pub(super) places: Vec<String>,
    /// Where what is in which form.
    pub(super) leaks: Vec<String>,
    /// Whether the proof was found.
    pub(super) proof: bool,
}

impl Findings {
    /// Searches `bytes`, which are called `name`.
    pub(super) fn look(&mut self, needles: &Needles, name: &str, bytes: &[u8]) {
        for (form, needle) in &needles.forms {
            if contains(bytes, needle) {
                self.leaks.push(format!("the token, {form}, in {name}"));
            }
        }
        if has_conf(bytes) {
            self.leaks.push(format!("a bridge conf in {name}"));
        }
        self.proof |= contains(bytes, &needles.proof);
    }

    /// Searches all files below `dir`, their names, and the targets of links; a compressed one is unpacked first.
    /// Returns how many files, and how many bytes, it has seen.
    pub(super) fn look_into(&mut self, needles: &Needles, name: &str, dir: &Path) -> Result<(u64, u64)> {
        let (mut files, mut total) = (0, 0);
        let mut pending = vec![dir.to_path_buf()];
        while let Some(path) = pending.pop() {
            let shown = format!("{name}: {}", path.strip_prefix(dir).unwrap_or(&path).display());
            self.look(needles, &shown, shown.as_bytes());
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
            self.look(needles, &shown, &bytes);
        }
        Ok((files, total))
    }
}

/// Layers are compressed by daemons that keep them as a registry would send them.
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
        .map_err(|cause| failure!("cannot look into {}: {cause}", path.display()))?;
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
        findings.look(&Needles::of(SECRET, "proof"), "it", text);
        findings.leaks
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        // Made by other programs: base64, od, python's urllib.
        for (form, text) in [
            ("raw", "x npm_s3cr3t+/token= y"),
            ("base64 at offset 0", "bnBtX3MzY3IzdCsvdG9rZW49"),
            ("base64 at offset 1", "YW5wbV9zM2NyM3QrL3Rva2VuPWI="),
            ("base64 at offset 2", "YWFucG1fczNjcjN0Ky90b2tlbj1i"),
            ("URL-encoded", "npm_s3cr3t%2B%2Ftoken%3D"),
            ("URL-encoded in lower case", "npm_s3cr3t%2b%2ftoken%3d"),
            ("hex", "6e706d5f7333637233742b2f746f6b656e3d"),
            ("hex in upper case", "6E706D5F7333637233742B2F746F6B656E3D"),
        ] {
            let wanted = format!("the token, {form}, in it");
            assert!(leaks_of(text.as_bytes()).contains(&wanted), "{form}: {:?}", leaks_of(text.as_bytes()));
        }
    }

    #[test]
    fn a_conf_is_found_and_its_prefix_alone_is_not() {
        assert_eq!(leaks_of(b"a conf begins with sb1_, as in sb1_abc"), Vec::<String>::new());
        let conf = format!("FTP_PROXY=sb1_{}", "aZ0-_".repeat(18));
        assert_eq!(leaks_of(conf.as_bytes()), ["a bridge conf in it"]);
    }
}
