//! An answer that has the credential.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_echo"),
    |data: &[u8]| secrets_bridge_fuzz::http_echo(data)
);
