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

fn report(what: &str, bytes: usize, mut pass: impl FnMut()) {
    pass();
    let mut best = f64::MAX;
    for _ in 0..15 {
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what}: {:.2} GB/s", bytes as f64 / best / 1e9);
}

fn main() {
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
