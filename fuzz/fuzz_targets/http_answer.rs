//! The head of a server's answer.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_answer"),
    |data: &[u8]| secrets_bridge_fuzz::http_answer(data)
);
