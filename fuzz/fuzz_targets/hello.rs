//! The header of the upgrade request, as text and as what the text encodes.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("hello"),
    |data: &[u8]| secrets_bridge_fuzz::hello(data)
);
