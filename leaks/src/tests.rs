//! Every kind of value in every form that tools write, found and masked, however the input is cut.

mod encoders;
mod new_keys;

use std::sync::Arc;

use proto::{Key, Secret};

use crate::{Encoding, Finder, Mask};
use encoders::{ENCODERS, Encoder};

fn pseudo_random(seed: u32, alphabet: &[u8], length: usize) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(alphabet[(state >> 9) as usize % alphabet.len()])
    };
    (0..length).map(|_| next()).collect()
}

const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn pem(kind: &str, columns: usize, length: usize) -> String {
    let body = pseudo_random(length as u32, DIGITS, length);
    let lines: Vec<&str> =
        body.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// Values of every kind: the name, and the secret.
fn values() -> Vec<(&'static str, String)> {
    let url: Vec<u8> = [DIGITS, b"-_"].concat();
    vec![
        ("token", pseudo_random(1, DIGITS, 40)),
        ("eight", "aB3$xY+9".to_owned()),
        ("specials", "'\"\\$&<>%+/ ".to_owned()),
        ("password", "pa'ss\"w\\o$r&d<1>%2+3/4 5".to_owned()),
        ("quotes", "it''s\"\"a`\\\\`x".to_owned()),
        ("utf8", "pässwörd-ключ-😀!".to_owned()),
        (
            "jwt",
            format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", pseudo_random(2, &url, 420), pseudo_random(3, &url, 342)),
        ),
        ("ed25519", pem("OPENSSH PRIVATE KEY", 70, 360)),
        ("rsa", pem("RSA PRIVATE KEY", 64, 1592)),
        ("netrc", format!("machine git.example login me password {}\n", pseudo_random(4, DIGITS, 20))),
        (
            "service account",
            format!(
                "{{\"type\": \"service_account\", \"private_key\": \"{}\", \"n\": 1}}\n",
                pseudo_random(5, DIGITS, 64)
            ),
        ),
        ("hex", pseudo_random(6, b"0123456789abcdef", 120)),
    ]
}

fn finder(secret: &str) -> Finder {
    let secret = Secret::new(secret.as_bytes().to_vec());
    Finder::new(&[("K".parse::<Key>().unwrap(), &secret)]).unwrap()
}

fn mask(secret: &str) -> Arc<Mask> {
    let secret = Secret::new(secret.as_bytes().to_vec());
    Arc::new(Mask::new(&[("K".parse::<Key>().unwrap(), &secret)]).unwrap())
}

fn hits(finder: &Finder, input: &[u8], size: usize) -> Vec<(Encoding, bool, u64)> {
    let mut search = finder.search();
    input.chunks(size).for_each(|chunk| search.feed(chunk));
    search.hits().iter().map(|hit| (hit.encoding, hit.part, hit.offset)).collect()
}

fn masked(mask: &Arc<Mask>, input: &[u8], size: usize) -> Vec<u8> {
    let (mut stream, mut out) = (mask.stream(), Vec::new());
    input.chunks(size).for_each(|chunk| stream.push(chunk, &mut out));
    stream.finish(&mut out);
    out
}

fn whole(secret: &str) -> &str {
    secret.trim_end_matches(['\n', '\r'])
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Calls `check` with every value in every encoding.
fn for_each(mut check: impl FnMut(&str, &Finder, &Arc<Mask>, &Encoder, &[u8])) {
    for (name, secret) in values() {
        let (finder, mask) = (finder(&secret), mask(&secret));
        for encoder in ENCODERS {
            let what = format!("{name}, {}", encoder.name);
            check(&what, &finder, &mask, encoder, &(encoder.encode)(whole(&secret)));
        }
    }
}

#[test]
fn every_value_is_found_in_every_encoding() {
    let mut failed = Vec::new();
    for_each(|what, finder, _, encoder, text| {
        for (before, after) in [("", ""), ("x=", ";\n"), ("some text\n", "\nmore text"), ("k: ", "\n\n\n")] {
            let input = [before.as_bytes(), text, after.as_bytes()].concat();
            let found = hits(finder, &input, usize::MAX);
            let is_whole = |hit: &(Encoding, bool, u64)| !hit.1 && hit.2 as usize + 1 >= before.len();
            if !found.iter().any(|hit| is_whole(hit) && encoder.encodings.contains(&hit.0)) {
                failed.push(format!("{what} [{before:?}]: {found:?} in {:.300}", shown(&input)));
            }
        }
    });
    assert!(failed.is_empty(), "{}\n{} not found", failed.join("\n"), failed.len());
}

#[test]
fn every_value_is_masked_in_every_encoding() {
    let mut failed = Vec::new();
    for_each(|what, _, mask, encoder, text| {
        let input = [b"<x ", text, b" y>\n"].concat();
        let out = masked(mask, &input, usize::MAX);
        let is_masked = out.starts_with(b"<x ") && out.ends_with(b" y>\n") && out.len() <= 10 + encoder.left;
        if !is_masked || (encoder.left == 0 && out != b"<x *** y>\n") {
            failed.push(format!("{what}: {:.300} of {:.300}", shown(&out), shown(&input)));
        }
    });
    assert!(failed.is_empty(), "{}\n{} not masked", failed.join("\n"), failed.len());
}

/// Pieces of a long value may have a `***` each, where a chunk ends between them.
fn squashed(out: &[u8]) -> String {
    let mut text = shown(out);
    for between in ["", "\\n", "\\r\\n", ":", " ", "-", ", 0x"] {
        while text.contains(&format!("***{between}***")) {
            text = text.replace(&format!("***{between}***"), "***");
        }
    }
    text
}

#[test]
fn chunks_of_any_size_give_the_same() {
    for_each(|what, finder, mask, _, text| {
        let input = [b"before ", text, b" after\n"].concat();
        let found = |size: usize| {
            let mut found: Vec<_> = hits(finder, &input, size).iter().map(|hit| (hit.0, hit.1)).collect();
            found.sort();
            found
        };
        let expected = (found(usize::MAX), squashed(&masked(mask, &input, usize::MAX)));
        // Long values in small chunks are compared again with each: few sizes are enough.
        let sizes: &[usize] = if text.len() < 400 { &[1, 7, 61] } else { &[509] };
        for &size in sizes {
            assert_eq!(found(size), expected.0, "{what} in chunks of {size}");
            assert_eq!(squashed(&masked(mask, &input, size)), expected.1, "{what} in chunks of {size}");
        }
    });
}
