//! A byte for the sizes of pieces, then a secret: a token, or a file of any of the formats that are read.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("leak_values"),
    |data: &[u8]| secrets_bridge_fuzz::leak_values(data)
);
