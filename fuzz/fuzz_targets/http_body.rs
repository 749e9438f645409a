//! The framing of a body.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_body"),
    |data: &[u8]| secrets_bridge_fuzz::http_body(data)
);
