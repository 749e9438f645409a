//! A conf, as text and as what the text encodes.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("conf"),
    |data: &[u8]| secrets_bridge_fuzz::conf(data)
);
