//! A rule for HTTP requests, as text.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_rule"),
    |data: &[u8]| secrets_bridge_fuzz::http_rule(data)
);
