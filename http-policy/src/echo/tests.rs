use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;
use crate::testing::rule;

const TOKEN: &str = "tok_>>??4711_secret";

fn echo(text: &str, secret: &str) -> Echo {
    Echo::new(&rule(text), &Secret::from(secret.to_owned())).unwrap()
}

/// `text` in pieces of `size` bytes.
fn in_pieces(echo: &Echo, text: &[u8], size: usize) -> Vec<u8> {
    let mut echo = echo.fresh();
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        out.extend_from_slice(&echo.overwrite(piece));
    }
    out.extend(echo.finish());
    assert_eq!(echo.finish(), b"");
    out
}

#[test]
fn the_value_is_overwritten_across_pieces() {
    let echo = echo("h", TOKEN);
    let text = format!("Bearer {TOKEN}, tok_>>, {TOKEN}{TOKEN}");
    let stars = "*".repeat(TOKEN.len());
    for size in 1..=text.len() {
        let out = in_pieces(&echo, text.as_bytes(), size);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("Bearer {stars}, tok_>>, {stars}{stars}"),
            "{size}"
        );
    }
}

#[test]
fn base64_is_overwritten_wherever_the_value_stands_in_it() {
    for (rule, secret) in
        [("h", TOKEN), ("user@h", TOKEN), ("h,auth=basic", "me:tok_>>??4711_secret"), ("h,git", TOKEN)]
    {
        let echo = echo(rule, secret);
        for before in ["", "u", "us", "use", "x-access-token:"] {
            for after in ["", ".", "\n", "and more"] {
                let text = format!("{before}{TOKEN}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let out = String::from_utf8(in_pieces(&echo, encoded.as_bytes(), 5)).unwrap();
                    assert_eq!(out.len(), encoded.len());
                    // What is left has bits of no more than one byte of the value at each end.
                    let stars = out.matches('*').count();
                    assert!(stars >= TOKEN.len() * 4 / 3 - 2, "{encoded} {out}");
                    assert!(
                        !out.contains(encoded.get(before.len() * 4 / 3 + 2..).unwrap().get(..6).unwrap()),
                        "{encoded} {out}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_password_is_overwritten_in_what_is_sent() {
    // The last character has two bits of the last byte.
    for (password, stars) in [("short-pw", "Basic dTp**********w=="), ("shortpw", "Basic ************")] {
        let echo = echo("u@h", password);
        let sent = format!("Basic {}", STANDARD.encode(format!("u:{password}")));
        let out = String::from_utf8(in_pieces(&echo, sent.as_bytes(), 3)).unwrap();
        assert_eq!(out, stars, "{sent}");
        assert!(echo.is_in(format!("u:{password}").as_bytes()));
    }
}

#[test]
fn what_is_too_short_is_left_alone() {
    let echo = echo("h", "pass");
    assert!(!echo.is_none() && Echo::none().is_none());
    assert_eq!(in_pieces(&echo, b"pass the password", 4), b"pass the password");
    assert_eq!(in_pieces(&Echo::none(), TOKEN.as_bytes(), 4), TOKEN.as_bytes());
}

#[test]
fn only_what_could_be_the_credential_is_held() {
    let mut echo = echo("h", TOKEN);
    assert!(matches!(echo.overwrite(b"nothing of this"), Cow::Borrowed(_)));
    assert_eq!(echo.overwrite(b"to")[..], b""[..]);
    assert_eq!(echo.overwrite(b"ken")[..], b"token"[..]);
    assert_eq!(echo.overwrite(b"a tok_>")[..], b"a "[..]);
    assert_eq!(echo.finish(), b"tok_>");
    assert_eq!(echo.overwrite(b">??4711_secret.")[..], b">??4711_secret."[..], "another body");
}

#[test]
fn debug_shows_no_value() {
    let mut echo = echo("h", TOKEN);
    echo.overwrite(b"tok_>>");
    let shown = format!("{echo:?}");
    assert!(!shown.contains("tok_") && !shown.contains("116"), "{shown}");
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_what_the_whole_gives(
        parts in proptest::collection::vec("(abababab|ababab|ab|YWJh|YmFi|[a-c]{1,3})", 0..12),
        size in 1usize..20,
    ) {
        // It overlaps with itself, and so does its base64.
        let echo = echo("h", "abababababab");
        let text = parts.concat();
        let mut whole = echo.fresh();
        let mut expected = whole.overwrite(text.as_bytes()).into_owned();
        expected.extend(whole.finish());
        prop_assert!(!echo.is_in(&expected));
        prop_assert_eq!(expected.len(), text.len());
        prop_assert_eq!(in_pieces(&echo, text.as_bytes(), size), expected);
    }
}
