//! Values of the kinds that programs make at random, new ones in each case: none is missed by where its lines happen to end.

use proptest::prelude::*;

use super::*;

/// Secrets of each kind. Their length differs as that of real ones does, which moves where lines end.
fn secrets(seed: u32, length: usize) -> Vec<String> {
    let random = |n: u32, alphabet: &[u8], length: usize| {
        pseudo_random(seed.wrapping_mul(31).wrapping_add(n), alphabet, length)
    };
    let hex = b"0123456789abcdef";
    let base64 = [DIGITS, b"+/"].concat();
    let pem = |n: u32, kind: &str, columns: usize, length: usize| {
        let body = random(n, &base64, length);
        let lines = body.as_bytes().chunks(columns).map(|line| String::from_utf8_lossy(line));
        let lines: Vec<_> = lines.collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----", lines.join("\n"))
    };
    let account = |key: &str| {
        format!(
            "{{\"type\": \"service_account\", \"private_key\": \"{}\\n\", \"n\": \"{}\"}}",
            key.replace('\n', "\\n"),
            random(1, DIGITS, length)
        )
    };
    vec![
        random(2, DIGITS, 20 + length),
        random(3, hex, 40 + length),
        format!("eyJhbGciOiJSUzI1NiJ9.{}", random(4, &[DIGITS, b"-_"].concat(), 700 + length)),
        random(5, &[DIGITS, b"=/+"].concat(), 100 + length),
        random(6, &[DIGITS, b" '\"\\$&<>%+/=!`".repeat(3).as_slice()].concat(), 16 + length),
        pem(7, "OPENSSH PRIVATE KEY", 70, 356 + 4 * length),
        pem(8, "PRIVATE KEY", 64, 1592 + length),
        account(&pem(9, "PRIVATE KEY", 64, 1592 + length)),
        pem(10, "OpenVPN Static key V1", 32, 512),
    ]
}

proptest! {
    // Each is some thousand comparisons: 8, or as many times more as PROPTEST_CASES is more than 256.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(32)))]
    #[test]
    fn new_values_are_found_and_masked_in_every_encoding(seed: u32, length in 0usize..40, before in 0usize..80) {
        let (before, after) = (format!("{} ", "-".repeat(before)), " --");
        for secret in secrets(seed, length) {
            let (finder, mask) = (finder(&secret), mask(&secret));
            for encoder in ENCODERS {
                let written = (encoder.encode)(&format!("{before}{secret}{after}"));
                let what = || format!("{}: {}", encoder.name, shown(&written));
                prop_assert!(!hits(&finder, &written, usize::MAX).is_empty(), "{}", what());
                // A soft line end in what is around the value, and what base64 encodes together with it.
                let around = (encoder.encode)(&before).len() + (encoder.encode)(after).len() + encoder.left + 24;
                let out = masked(&mask, &written, usize::MAX);
                let out = String::from_utf8_lossy(&out).replace("***", "");
                prop_assert!(out.len() <= around, "{out} of {}", what());
            }
        }
    }
}
