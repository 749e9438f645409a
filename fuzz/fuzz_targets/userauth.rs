//! The data of a login.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("userauth"),
    |data: &[u8]| secrets_bridge_fuzz::userauth(data)
);
