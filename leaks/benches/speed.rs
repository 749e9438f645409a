//! How fast values are searched for and masked: `cargo bench -p leaks` prints GB/s.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers: it prints figures, and a panic in it is harmless"
)]

use std::sync::Arc;
use std::time::Instant;

use leaks::{Finder, Mask};
use proto::{Key, Secret};

const CHUNK: usize = 64 << 10;

fn secrets(count: usize) -> Vec<(Key, Secret)> {
    let token = |n: usize| match n % 4 {
        0 => format!("npm_{:032x}", (n as u128 + 7).wrapping_mul(0x1234_5678_9abc_def1_0fed_cba9_8765_4321)),
        1 => format!("machine github.com login bob password pw{:012x}Zx\n", n * 7_777_777_777 + 99),
        2 => format!("hunter2/{n}?{:x}!", n * 1_000_003),
        _ => format!("//registry.npmjs.org/:_authToken=Tok{:016X}q\n", n * 987_654_321_987),
    };
    (0..count).map(|n| (format!("K{n}").parse().unwrap(), Secret::from(token(n)))).collect()
}

/// Binary and log-like data: this program's own executable, and lines.
fn inputs() -> [(&'static str, Vec<u8>); 2] {
    let mut binary = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    binary.truncate(8 << 20);
    let line = |n: usize| {
        format!("[{n:06}] npm http fetch GET 200 https://registry.npmjs.org/pkg-{n} {}ms\n", n % 977)
    };
    [("binary", binary), ("log", (0..90_000).map(line).collect::<String>().into_bytes())]
}

/// Output as it is measured by `cargo xtask bench`, and input that is made to be slow.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let bytes: Vec<u8> = (0..8 << 20).map(|_| random()).collect();
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let line = |line: &[u8]| -> Vec<u8> {
        line.iter().filter_map(|byte| digits.get(usize::from(byte & 63)).copied()).chain([b'\n']).collect()
    };
    let lines = bytes.chunks(76).flat_map(line).collect();
    let repeated = |text: &str| text.as_bytes().repeat((4 << 20) / text.len());
    vec![
        ("random", bytes),
        ("base64 lines", lines),
        ("half of a token", repeated("npm_000000000000000")),
        ("half of a token, wrapped", repeated("npm_0000\n0000000")),
        ("a password without its end", repeated("pa'ss\"w\\o$r&d<1>%2+3/4")),
        ("white space", repeated(" \n\t \r\n")),
        ("digits and white space", repeated("a\n                                          ")),
        ("backslashes", repeated("\\")),
        ("backslashes and quotes", repeated("\\\\\\\"\\\\'")),
        ("quotes", repeated("'\"'\"''")),
        ("single quotes", repeated("'")),
        ("double quotes", repeated("\"")),
        ("single percent signs", repeated("%")),
        ("encoded percent signs", repeated("%25")),
        ("escaped backslashes", repeated("\\u005c")),
        ("single ampersands", repeated("&")),
        ("encoded ampersands", repeated("&amp;")),
        ("spaces", repeated(" ")),
        ("signs without their start", repeated("$&<>%+/ ")),
        ("percent signs", repeated("%25252525")),
        ("ampersands", repeated("&amp;amp;amp;#")),
        ("zeros", vec![0; 4 << 20]),
    ]
}

fn report(what: &str, bytes: usize, mut pass: impl FnMut()) {
    let mut best = f64::MAX;
    let begin = Instant::now();
    for _ in 0..15 {
        if begin.elapsed().as_secs() > 2 {
            break;
        }
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what}: {:.3} GB/s", bytes as f64 / best / 1e9);
}

fn main() {
    let mut secrets_of_all_kinds = secrets(10);
    secrets_of_all_kinds.push(("P".parse().unwrap(), Secret::from("pa'ss\"w\\o$r&d<1>%2+3/4 5".to_owned())));
    secrets_of_all_kinds.push(("Q".parse().unwrap(), Secret::from("'\"\\$&<>%+/ ".to_owned())));
    for (kinds, secrets) in [("10 ordinary secrets", secrets(10)), ("12 of all kinds", secrets_of_all_kinds)]
    {
        let pairs: Vec<(Key, &Secret)> = secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        let (finder, mask) = (Finder::new(&pairs).unwrap(), Arc::new(Mask::new(&pairs).unwrap()));
        for (name, input) in hostile() {
            report(&format!("{kinds}, finder, {name}"), input.len(), || {
                let mut search = finder.search();
                input.chunks(CHUNK).for_each(|chunk| search.feed(chunk));
            });
            let mut out = Vec::with_capacity(2 * CHUNK);
            report(&format!("{kinds}, mask, {name}"), input.len(), || {
                let mut stream = mask.stream();
                for chunk in input.chunks(CHUNK) {
                    out.clear();
                    stream.push(chunk, &mut out);
                }
            });
        }
    }
    for count in [1, 10, 20, 100] {
        let secrets = secrets(count);
        let pairs: Vec<(Key, &Secret)> = secrets.iter().map(|(key, secret)| (key.clone(), secret)).collect();
        let start = Instant::now();
        let (finder, mask) = (Finder::new(&pairs).unwrap(), Arc::new(Mask::new(&pairs).unwrap()));
        println!("{count} secrets: both built in {:?}", start.elapsed());
        for (name, input) in inputs() {
            report(&format!("{count} secrets, finder, {name}"), input.len(), || {
                let mut search = finder.search();
                input.chunks(CHUNK).for_each(|chunk| search.feed(chunk));
                assert!(search.hits().is_empty() || name == "binary", "{:?}", search.hits());
            });
            let mut out = Vec::with_capacity(2 * CHUNK);
            report(&format!("{count} secrets, mask, {name}"), input.len(), || {
                let mut stream = mask.stream();
                for chunk in input.chunks(CHUNK / 8) {
                    out.clear();
                    stream.push(chunk, &mut out);
                }
            });
        }
    }
}
