//! What is secret inside a secret, and the search and masking that follow from it.

use std::sync::Arc;

use leaks::{Encoding, Finder, LEAK_MIN, Mask};
use proto::{Key, Secret};

use crate::checks::Input;

/// A byte for the sizes of pieces, then a secret: a token, or a file of any of the formats that are read.
pub fn leak_values(data: &[u8]) {
    let mut input = Input::new(data);
    let step = usize::from(input.byte() % 31) + 1;
    let secret = Secret::new(input.rest().to_vec());
    let key: Key = "TOKEN".parse().unwrap();
    let keyed = [(key, &secret)];
    let around = [b"before: ", secret.expose(), b" :after\n"].concat();
    check_mask(&keyed, &around, step);
    check_finder(&keyed, &around, step);
}

fn check_mask(secrets: &[(Key, &Secret)], around: &[u8], step: usize) {
    let secret = secrets[0].1;
    let Some(mask) = Mask::new(secrets).map(Arc::new) else { return };
    let masked = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut stream, mut out) = (mask.stream(), Vec::new());
        pieces.for_each(|piece| stream.push(piece, &mut out));
        stream.finish(&mut out);
        assert!(!stream.is_holding_short());
        out
    };
    let whole = masked(&mut [around].into_iter());
    let pieces = masked(&mut around.chunks(step));
    assert_eq!(squashed(&whole), squashed(&pieces), "the sizes of pieces change what is masked");
    assert!(whole.starts_with(b"be") || whole.starts_with(b"***"), "text before the secret is lost");
    // All of a secret that is short enough to be compared as a whole is replaced, wherever it stands.
    let value = without_line_end(secret.expose());
    if Mask::covers(secret) && is_rare(value) && value.len() <= 512 {
        assert!(!holds(&whole, value), "the whole secret is in the masked output");
    }
}

/// Pieces of a value of more than 512 bytes may have a `***` each, where a chunk ends between them.
fn squashed(out: &[u8]) -> String {
    let mut text = out.escape_ascii().to_string();
    for between in ["", "\\n", "\\r\\n", ":", " ", "-", ", 0x"] {
        let pair = format!("***{between}***");
        while text.contains(&pair) {
            text = text.replace(&pair, "***");
        }
    }
    text
}

/// The spellings of text count as one: where a piece ends with `&`, it may be a value's last byte, or begin `&amp;`.
fn as_text(encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::Raw | Encoding::UrlEncoded | Encoding::Json | Encoding::Xml | Encoding::Shell => {
            Encoding::Raw
        }
        Encoding::Base64 | Encoding::Hex | Encoding::Utf16 => encoding,
    }
}

fn check_finder(secrets: &[(Key, &Secret)], around: &[u8], step: usize) {
    let secret = secrets[0].1;
    let Some(finder) = Finder::new(secrets) else { return };
    let hits = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut search = finder.search();
        pieces.for_each(|piece| search.feed(piece));
        let mut hits: Vec<_> = search.hits().iter().map(|hit| (as_text(hit.encoding), hit.part)).collect();
        hits.sort_unstable();
        hits.dedup_by_key(|hit| hit.0);
        (hits, search.hits().iter().map(|hit| hit.offset).max())
    };
    let (whole, last) = hits(&mut [around].into_iter());
    let (pieces, _) = hits(&mut around.chunks(step));
    assert_eq!(whole, pieces, "the sizes of pieces change what is found");
    assert!(last.is_none_or(|offset| offset < around.len() as u64));
    let value = without_line_end(secret.expose());
    if Finder::covers(secret) && is_rare(value) && value.len() >= LEAK_MIN && value.len() <= 4096 {
        assert!(!whole.is_empty(), "the secret itself is not found");
    }
}

/// Neither a word nor a number nor a repeated character: those are in every file, and not searched for.
fn is_rare(value: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| value.iter().any(class);
    value.len() >= LEAK_MIN
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
}

fn without_line_end(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    &value[..end]
}

fn holds(text: &[u8], value: &[u8]) -> bool {
    text.windows(value.len()).any(|window| window == value)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "npm_kT7xQ2mN9vB4cZ1p0123456789",
        "//registry.npmjs.org/:_authToken=npm_kT7xQ2mN9vB4cZ1p\n",
        "machine git.example login me password kT7xQ2mN9vB4cZ1p\n",
        "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY\n",
        "{\"auths\":{\"r.example\":{\"auth\":\"bWU6a1Q3eFEybU45dkI0Y1oxcA==\"}},\"x\":[1,null,\"\\u00e9\\n\"]}",
        "apiVersion: v1\nusers:\n- name: a\n  user:\n    token: kT7xQ2mN9vB4cZ1p\n",
        "<settings><servers><server><password>kT7xQ2mN9vB4cZ1p&amp;</password></server></servers></settings>",
        "https://user:kT7xQ2mN9vB4cZ1p@git.example/org/repo?token=abc123DEF456ghi7\n",
        "Server=db;User=sa;Password=kT7xQ2mN9vB4cZ1p\n",
        include_str!("../seeds/key_files/ed25519"),
        include_str!("../seeds/key_files/p256_pkcs8"),
        "hunter2\nhunter3\nLong4Value5Here\n",
        "\u{1}\u{0}é\u{1f600}0Aa12345678",
    ]
    .into_iter()
    .zip(0u8..)
    .map(|(text, step)| [&[step * 3][..], text.as_bytes()].concat())
    .collect()
}
