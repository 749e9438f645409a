//! Lines of several words: passphrases and recovery codes, but also lines of scripts and settings.
//!
//! A line that ordinary files hold too must not be searched for. Files of settings repeat such lines between machines
//! (`machine github.com`, `127.0.0.1 localhost`), and scripts do (`set -euo pipefail`).

use crate::heuristics;

/// Rough bits of information from which a line is masked, and from which it is searched for. A word of a dictionary
/// counts as 8, which is what four letters of English have.
const MASKED_BITS: usize = 24;
const SEARCHED_BITS: usize = 32;

/// Fewest words by which a line of dictionary words is searched for.
const MIN_WORDS: usize = 3;

/// What is done about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rarity {
    Ordinary,
    Masked,
    Searched,
}

/// How rare `line` is, which has several words.
pub(super) fn rarity(line: &str) -> Rarity {
    if is_public_key(line) {
        return Rarity::Ordinary;
    }
    let runs = || line.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty());
    let mixed: usize = runs().filter(|run| is_mixed(run)).map(|run| run.len() * 4).sum();
    let bits = match line.contains(is_code) || line.split_whitespace().any(is_setting) {
        true => mixed,
        false => mixed + runs().filter(|run| !is_mixed(run)).map(plain_bits).sum::<usize>(),
    };
    let words = line.split_whitespace().count();
    if bits >= SEARCHED_BITS && (words >= MIN_WORDS || mixed >= SEARCHED_BITS / 2) {
        Rarity::Searched
    } else if bits >= MASKED_BITS {
        Rarity::Masked
    } else {
        Rarity::Ordinary
    }
}

/// Whether the line is of `authorized_keys` or `known_hosts`.
pub(super) fn is_public_key(line: &str) -> bool {
    line.split_whitespace().any(|word| {
        ["ssh-rsa", "ssh-ed25519", "ssh-dss"].contains(&word)
            || ["ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
    })
}

/// Letters and digits in turns, which words, numbers and names such as `ed25519` do not have.
fn is_mixed(run: &str) -> bool {
    run.len() >= 4 && heuristics::changes(run) >= 2
}

fn plain_bits(run: &str) -> usize {
    let length = run.chars().count();
    if run.chars().all(|c| c.is_ascii_digit()) { length * 3 } else { (length * 2).min(8) }
}

/// Characters that programs have, and phrases seldom.
fn is_code(c: char) -> bool {
    "$(){}[];=<>|&\"`\\".contains(c)
}

/// Whether `word` is a host, address, path, version, or the name of an algorithm.
fn is_setting(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| c.is_ascii_punctuation());
    let upper_or_digit = inner.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (inner.contains(['.', ':', '/', '@', '_'])
        || word.starts_with('/')
        || (inner.contains('-') && upper_or_digit))
        && !heuristics::is_rare_word(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_and_codes_are_searched_for() {
        for line in [
            "correct horse battery staple",
            "witch collapse practice feed shame open despair creek",
            "recovery code 7kq2-x9fw",
            "1234 5678 9012 3456",
            "p4ssw0rd w1th spac3s",
            "3K9x Qm2Z 81Lw",
        ] {
            assert_eq!(rarity(line), Rarity::Searched, "{line}");
        }
    }

    #[test]
    fn lines_that_other_files_hold_are_not() {
        for line in [
            "machine github.com",
            "machine github.com login octocat",
            "127.0.0.1 localhost",
            "nameserver 8.8.8.8",
            "set -euo pipefail",
            "if [ -z \"$1\" ]; then",
            "exit 1",
            "host all all 127.0.0.1/32 trust",
            "data-ciphers AES-256-GCM:AES-128-GCM",
            "cipher AES-256-GCM",
            "remote vpn.example 1194 udp",
            "proto udp",
            "Host github.com",
            "User git",
            "IdentityFile ~/.ssh/id_ed25519",
            "deb http://deb.debian.org/debian bookworm main",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@host",
            "github.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7",
            "FROM debian:bookworm-slim",
            "export PATH=/usr/local/bin:$PATH",
            "provider \"aws\" {",
        ] {
            assert_eq!(rarity(line), Rarity::Ordinary, "{line}");
        }
    }
}
