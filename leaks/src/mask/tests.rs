use proptest::prelude::*;

use super::*;

fn mask(secrets: &[&[u8]]) -> Option<Arc<Mask>> {
    let secrets: Vec<Secret> = secrets.iter().map(|bytes| Secret::new(bytes.to_vec())).collect();
    let pairs: Vec<(Key, &Secret)> = secrets.iter().map(|secret| ("k".parse().unwrap(), secret)).collect();
    Mask::new(&pairs).map(Arc::new)
}

fn masked(secrets: &[&[u8]], input: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut stream = mask(secrets).unwrap().stream();
    let (mut out, mut rest) = (Vec::new(), input);
    for size in sizes.iter().cycle().take(input.len() + 1) {
        let (chunk, next) = rest.split_at((*size).min(rest.len()));
        stream.push(chunk, &mut out);
        rest = next;
    }
    stream.push(rest, &mut out);
    stream.finish(&mut out);
    out
}

fn text(secrets: &[&str], input: &str) -> String {
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
    let whole = masked(&secrets, input.as_bytes(), &[usize::MAX]);
    assert_eq!(whole, masked(&secrets, input.as_bytes(), &[1]), "byte by byte");
    String::from_utf8(whole).unwrap()
}

#[test]
fn overlaps_leave_nothing() {
    assert_eq!(text(&["abcdef", "defghi"], "<abcdefghi>"), "<***>");
    assert_eq!(
        text(&["secret1", "secret1-and-more"], "secret1 secret1-and-more secret1-and-"),
        "*** *** ***-and-"
    );
    assert_eq!(text(&["secret1", "xsecret1x"], "xsecret1x xsecret1y"), "*** x***y");
    assert_eq!(text(&["ababab"], "abababab-ababababab"), "***-***");
    assert_eq!(text(&["secret1", "secret2"], "secret1secret2"), "******");
}

#[test]
fn base64_with_its_padding_and_percent_encodings_are_masked() {
    use base64::prelude::*;
    let secret = "s3cr3t/pass word??";
    for (input, expected) in [
        (format!("v={} ", BASE64_STANDARD.encode(secret)), "v=*** "),
        (format!("v={} ", BASE64_STANDARD.encode(format!("{secret}\n"))), "v=*** "),
        (format!("v={}\nw", BASE64_STANDARD.encode(format!("{secret}\n"))), "v=***\nw"),
        (format!("v={} ", BASE64_URL_SAFE_NO_PAD.encode(secret)), "v=*** "),
        ("u=s3cr3t%2Fpass%20word%3F%3F!".to_owned(), "u=***!"),
        ("u=s3cr3t%2fpass+word%3f%3f!".to_owned(), "u=***!"),
    ] {
        assert_eq!(text(&[secret], &input), expected);
    }
    let basic = BASE64_STANDARD.encode(format!("user:{secret}"));
    let shown = text(&[secret], &basic);
    assert!(shown.contains("***") && shown.len() < 14, "{shown}");
}

#[test]
fn bytes_that_are_not_secret_pass_at_once() {
    let mut stream = mask(&[b"secret-value"]).unwrap().stream();
    let all: Vec<u8> = (0..=255).collect();
    let mut out = Vec::new();
    stream.push(&all, &mut out);
    assert_eq!(out, all);
    assert!(!stream.is_holding_short());
}

#[test]
fn a_short_start_of_a_secret_is_held_until_it_is_released() {
    let mut stream = mask(&[b"secret-value"]).unwrap().stream();
    let mut out = Vec::new();
    stream.push(b"the sec", &mut out);
    assert_eq!(out, b"the ");
    assert!(stream.is_holding_short());
    stream.release_short(&mut out);
    assert_eq!(out, b"the sec");
    assert!(!stream.is_holding_short());
    stream.push(b"ret-value.", &mut out);
    assert_eq!(out, b"the sec***.");
    stream.push(b" secretary", &mut out);
    assert_eq!(out, b"the sec***. secretary");
}

#[test]
fn six_characters_of_a_secret_are_not_released() {
    let mut stream = mask(&[b"secret-value"]).unwrap().stream();
    let mut out = Vec::new();
    stream.push(b"the secret", &mut out);
    assert!(!stream.is_holding_short());
    stream.release_short(&mut out);
    assert_eq!(out, b"the ");
    stream.push(b"ary\n", &mut out);
    assert_eq!(out, b"the secretary\n");
    stream.push(b"secret-val", &mut out);
    stream.finish(&mut out);
    assert_eq!(out, b"the secretary\nsecret-val");
}

#[test]
fn a_printed_part_of_a_long_secret_is_masked() {
    let secret: String = (0..3000).map(|n| char::from(b'!' + (n * n % 90) as u8)).collect();
    let cut = &secret[..2000];
    let shown = text(&[&secret], &format!("[{cut}]"));
    assert!(shown.len() < 600, "{}", shown.len());
    assert!(!text(&[&secret], &format!("[{secret}]")).contains(&secret[100..110]));
}

#[test]
fn zeros_of_a_long_secret_are_not_masked() {
    let mut keystore: Vec<u8> = (0..=255).collect();
    keystore.extend([0; 4096]);
    assert_eq!(masked(&[&keystore], &[0; 2048], &[100]), [0; 2048]);
}

#[test]
fn parts_of_files_are_masked_and_the_rest_is_not() {
    let netrc = "machine github.com login octocat password hunter2!\n";
    assert_eq!(text(&[netrc], "octocat@github.com: hunter2!\n"), "octocat@github.com: ***\n");
    assert!(mask(&[b"true", b"12345", b""]).is_none());
}

/// The expected output: `***` for every run of overlapping occurrences.
fn naive(patterns: &[Vec<u8>], input: &[u8]) -> Vec<u8> {
    let (mut out, mut covered) = (Vec::new(), 0);
    for at in 0..input.len() {
        let end = patterns.iter().filter(|p| input[at..].starts_with(p)).map(|p| at + p.len()).max();
        if let Some(end) = end {
            if at >= covered {
                out.extend_from_slice(REPLACEMENT);
            }
            covered = covered.max(end);
        } else if at >= covered {
            out.push(input[at]);
        }
    }
    out
}

proptest! {
    #[test]
    fn any_split_gives_the_same_output(
        // Bytes that no encoding but the raw one shares with the input.
        secrets in proptest::collection::vec(proptest::collection::vec(0x80u8..0x83, 6..14), 1..5),
        input in proptest::collection::vec(0x80u8..0x83, 0..300),
        sizes in proptest::collection::vec(1usize..40, 1..8),
    ) {
        // Secrets within each other, and with a common start.
        let inner: Vec<Vec<u8>> = secrets.iter().flat_map(|s| [s[1..].to_vec(), s[..s.len() - 1].to_vec()]).collect();
        let secrets = secrets.into_iter().chain(inner.into_iter().filter(|s| s.len() >= MASK_MIN));
        let varied: Vec<Vec<u8>> = secrets.filter(|s| s.iter().any(|b| *b != s[0])).collect();
        prop_assume!(!varied.is_empty());
        let input = [&input[..input.len() / 2], &varied[0], &input[input.len() / 2..]].concat();
        let slices: Vec<&[u8]> = varied.iter().map(Vec::as_slice).collect();
        let expected = naive(&varied, &input);
        prop_assert_eq!(masked(&slices, &input, &sizes), expected.clone());
        prop_assert_eq!(masked(&slices, &input, &[usize::MAX]), expected);
    }

    #[test]
    fn no_byte_is_lost_or_held_forever(input: Vec<u8>, sizes in proptest::collection::vec(1usize..9, 1..8)) {
        prop_assert_eq!(masked(&[b"\x00\x01never\xff\xfe-in-there"], &input, &sizes), input);
    }
}
