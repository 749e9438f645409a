//! A compressed archive, and a compressed layer.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("compression"),
    |data: &[u8]| secrets_bridge_fuzz::compression(data)
);
