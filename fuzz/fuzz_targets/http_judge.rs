//! A request to an origin with rules.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_judge"),
    |data: &[u8]| secrets_bridge_fuzz::http_judge(data)
);
