//! The head of a tool's request.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_request"),
    |data: &[u8]| secrets_bridge_fuzz::http_request(data)
);
