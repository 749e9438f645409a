use base64::prelude::*;
use proptest::prelude::*;

use super::*;

fn finder(secrets: &[(&str, &[u8])]) -> Option<Finder> {
    let secrets: Vec<(Key, Secret)> =
        secrets.iter().map(|(key, bytes)| (key.parse().unwrap(), Secret::new(bytes.to_vec()))).collect();
    let pairs: Vec<(Key, &Secret)> = secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
    Finder::new(&pairs)
}

fn hits(secrets: &[(&str, &[u8])], input: &[u8], size: usize) -> Vec<(String, Encoding, bool, u64)> {
    let finder = finder(secrets).unwrap();
    let mut search = finder.search();
    input.chunks(size).for_each(|chunk| search.feed(chunk));
    let mut all: Vec<_> =
        search.hits().iter().map(|hit| (hit.key.to_string(), hit.encoding, hit.part, hit.offset)).collect();
    all.sort();
    all
}

const TOKEN: &[u8] = b"tok/en?Value-1";

#[test]
fn each_encoding_is_found_at_every_split() {
    for (encoding, text) in [
        (Encoding::Raw, "tok/en?Value-1".to_owned()),
        (Encoding::UrlEncoded, "tok%2Fen%3FValue-1".to_owned()),
        (Encoding::UrlEncoded, "tok%2fen%3fValue-1".to_owned()),
        (Encoding::Hex, "746f6b2f656e3f56616c75652d31".to_owned()),
        (Encoding::Hex, "746F6B2F656E3F56616C75652D31".to_owned()),
        (Encoding::Json, "tok\\/en?Value-1".to_owned()),
        (Encoding::Base64, BASE64_STANDARD.encode(TOKEN)),
        (Encoding::Base64, BASE64_URL_SAFE.encode(TOKEN)),
    ] {
        let input = format!("{}{text}{}", "x".repeat(101), "y".repeat(50));
        for size in 1..160 {
            assert_eq!(
                hits(&[("T", TOKEN)], input.as_bytes(), size),
                [("T".to_owned(), encoding, false, 101)],
                "{text} {size}"
            );
        }
    }
}

#[test]
fn base64_is_found_behind_any_prefix() {
    for prefix in ["", "u", "us", "use", "user:"] {
        let text = BASE64_STANDARD.encode([prefix.as_bytes(), TOKEN, b"\n"].concat());
        let found = hits(&[("T", TOKEN)], text.as_bytes(), 7);
        assert_eq!(found.len(), 1, "{prefix}");
        assert_eq!((found[0].1, found[0].2), (Encoding::Base64, false));
    }
}

#[test]
fn a_part_is_reported_until_the_whole_is_found() {
    let netrc: &[u8] = b"machine github.com login octocat password hunter2hunter\n";
    let found = hits(&[("NETRC", netrc)], b"git config: hunter2hunter", 9);
    assert_eq!(found, [("NETRC".to_owned(), Encoding::Raw, true, 12)]);
    let found = hits(&[("NETRC", netrc)], &[b"hunter2hunter ".as_slice(), netrc].concat(), 9);
    assert_eq!(found, [("NETRC".to_owned(), Encoding::Raw, false, 14)]);
    assert_eq!(hits(&[("NETRC", netrc)], b"machine github.com login octocat password other", 9), []);
}

#[test]
fn two_keys_with_one_value_are_both_reported() {
    let found = hits(&[("A", TOKEN), ("B", TOKEN)], TOKEN, 3);
    assert_eq!(found.iter().map(|hit| hit.0.as_str()).collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn long_values_are_found_by_their_pieces() {
    let long: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let found = hits(&[("BLOB", &long)], &[b"x".as_slice(), &long].concat(), 4096);
    assert_eq!(found, [("BLOB".to_owned(), Encoding::Raw, true, 1)]);
    let tail = &long[99_000..];
    assert_eq!(hits(&[("BLOB", &long)], tail, 4096).len(), 1);
    let text = BASE64_STANDARD.encode(&long);
    assert!(hits(&[("BLOB", &long)], text.as_bytes(), 4096).iter().all(|hit| hit.1 == Encoding::Base64));
    assert!(finder(&[("ZEROS", &[0; 100_000])]).is_none());
}

#[test]
fn content_of_ordinary_images_is_not_found() {
    let key = b"-----BEGIN OPENSSH PRIVATE KEY-----\n\
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
        QyNTUxOQAAACDJzF8T2Gk1Yb0ZkSg5h0kq9TqfYJ9Rj3F4mWkqkKqk1AAAAJgq1c2rKtXN\n\
        -----END OPENSSH PRIVATE KEY-----\n";
    let secrets: &[(&str, &[u8])] = &[
        ("KEY", key),
        ("NETRC", b"machine github.com\nlogin git\npassword Zq81xNw0PL\n"),
        ("NPMRC", b"registry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=npm_12345678\n"),
    ];
    let image = b"-----BEGIN OPENSSH PRIVATE KEY-----\n\
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
        -----BEGIN CERTIFICATE-----\nmachine github.com\nlogin git\npassword other\n\
        registry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=${TOKEN}\n";
    assert_eq!(hits(secrets, image, 11), []);
    assert_eq!(
        hits(secrets, b"QyNTUxOQAAACDJzF8T2Gk1Yb0ZkSg5h0kq9TqfYJ9Rj3F4mWkqkKqk1AAAAJgq1c2rKtXN", 5).len(),
        1
    );
}

#[test]
fn debug_shows_no_value() {
    let finder = finder(&[("T", TOKEN)]).unwrap();
    let mut search = finder.search();
    search.feed(TOKEN);
    let shown = format!("{finder:?} {search:?} {:?}", search.hits());
    assert!(!shown.contains("tok/en") && !shown.contains("116"), "{shown}");
}

#[test]
fn a_hundred_secrets_of_a_kilobyte_fit_in_16_mb() {
    let random = |seed: u32| {
        let byte = move |n: u32| 33 + ((seed * 1031 + n).wrapping_mul(2_654_435_761) >> 17) % 90;
        (0..1024).map(move |n| byte(n) as u8)
    };
    // The worst: many lines, each a value.
    let lines = |seed: u32| {
        let line = move |n: u32| format!("A{:010}\n", (seed * 1031 + n).wrapping_mul(2_654_435_761));
        (0..85).flat_map(move |n| line(n).into_bytes())
    };
    let secrets: Vec<Vec<u8>> =
        (0..100).map(|n| if n % 2 == 0 { random(n).collect() } else { lines(n).collect() }).collect();
    let pairs: Vec<(&str, &[u8])> = secrets.iter().map(|secret| ("K", secret.as_slice())).collect();
    let finder = finder(&pairs).unwrap();
    let memory = finder.patterns.memory() + finder.origins.capacity() * size_of::<Origin>();
    assert!(memory < 16 << 20, "{memory}");
}

proptest! {
    #[test]
    fn any_split_finds_the_same(
        secrets in proptest::collection::vec(proptest::collection::vec(0x80u8..0x83, 8..60), 1..5),
        at in 0usize..100,
        input in proptest::collection::vec(0x80u8..0x83, 0..200),
        size in 1usize..90,
    ) {
        let varied: Vec<(String, Vec<u8>)> = secrets.into_iter().filter(|s| s.iter().any(|b| *b != s[0]))
            .enumerate().map(|(n, s)| (format!("K{n}"), s)).collect();
        prop_assume!(!varied.is_empty());
        let input = [&input[..at.min(input.len())], &varied[0].1, &input[at.min(input.len())..]].concat();
        let pairs: Vec<(&str, &[u8])> = varied.iter().map(|(key, s)| (key.as_str(), s.as_slice())).collect();
        let expected: Vec<_> = varied.iter().filter_map(|(key, s)| {
            let offset = input.windows(s.len()).position(|w| w == s)?;
            Some((key.clone(), Encoding::Raw, false, offset as u64))
        }).collect();
        let found: Vec<_> = hits(&pairs, &input, size).into_iter().filter(|hit| hit.1 == Encoding::Raw).collect();
        prop_assert_eq!(found.len(), expected.len());
        for (hit, first) in found.iter().zip(&expected) {
            prop_assert_eq!((&hit.0, hit.2), (&first.0, first.2));
            prop_assert!(hit.3 >= first.3);
        }
    }
}

/// Steps of comparison for each byte of `input`, in both uses.
fn steps(secrets: &[(&str, &[u8])], input: &[u8]) -> (u64, u64) {
    let finder = finder(secrets).unwrap();
    let mut search = finder.search();
    search.feed(input);
    assert_eq!(search.hits(), []);
    let secrets: Vec<Secret> = secrets.iter().map(|(_, bytes)| Secret::new(bytes.to_vec())).collect();
    let pairs: Vec<(Key, &Secret)> = secrets.iter().map(|secret| ("K".parse().unwrap(), secret)).collect();
    let mut stream = std::sync::Arc::new(crate::Mask::new(&pairs).unwrap()).stream();
    let mut out = Vec::new();
    stream.push(input, &mut out);
    stream.finish(&mut out);
    assert!(out == input);
    (search.steps() / input.len() as u64, stream.steps() / input.len() as u64)
}

const SPECIALS: &[u8] = b"'\"\\$&<>%+/ ";

#[test]
fn repeated_input_takes_few_steps_for_each_byte() {
    let periodic = [b"Ab".repeat(200).as_slice(), b"!"].concat();
    let secrets: &[(&str, &[u8])] =
        &[("SPECIALS", SPECIALS), ("PASSWORD", b"pa'ss\"w\\o$r&d<1>%2+3/4 5"), ("PERIOD", &periodic)];
    for unit in [
        "\\",
        "'",
        "\"",
        "%",
        "&",
        "$",
        "`",
        "^",
        "{",
        "=",
        "+",
        " ",
        "\t",
        "\n",
        "\r\n",
        "%25",
        "%2525",
        "\\u005c",
        "\\\\u005c",
        "\\x5c",
        "\\134",
        "&amp;",
        "&amp;amp;",
        "&#38;",
        "''",
        "'\\''",
        "'\"'\"'",
        "\"'\"",
        "\\\"",
        "\\\\'",
        "pa'ss\"w\\o$r&d<1>%2+3/4",
        "'\"\\$&<>%+/",
        "\\$&<>%+/ ",
        "Ab",
        "Ab'",
        "a\n   ",
        "5c",
        "5c:",
        "0x5c, ",
    ] {
        let input = unit.repeat((64 << 10) / unit.len());
        let (found, masked) = steps(secrets, input.as_bytes());
        assert!(found <= 1 && masked <= 1, "{unit:?}: {found} and {masked} steps for each byte");
    }
    // Runs that end, each of another length.
    let runs: Vec<u8> =
        (1..300).flat_map(|n| ["\\".repeat(n), "'".repeat(n)].concat().into_bytes()).collect();
    let (found, masked) = steps(&[("SPECIALS", SPECIALS)], &runs);
    assert!(found <= 40 && masked <= 40, "{found} and {masked} steps for each byte");
}

#[test]
fn a_value_within_repeated_input_is_found() {
    let quoted = b"'\\\"\\\\\\$&<>%+/ ";
    for unit in ["\\", "'", "\"", "%", "&", " ", "%25", "\\u005c", "&amp;", "'\"\\$&<>%+/", "\\$&<>%+/ "] {
        for value in [SPECIALS, quoted] {
            for (before, after) in [(1 << 16, 1 << 16), ((1 << 16) + 1, 999), (77, 1 << 16), (70_002, 0)] {
                let run = |length: usize| unit.as_bytes().repeat(length.div_ceil(unit.len()));
                let input = [&run(before), b";".as_slice(), value, b";", &run(after)].concat();
                for size in [usize::MAX, 64 << 10, 4093] {
                    assert_eq!(
                        hits(&[("S", SPECIALS)], &input, size).len(),
                        1,
                        "{unit} {value:?} {before} {size}"
                    );
                }
            }
        }
    }
}
