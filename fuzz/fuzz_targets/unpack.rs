//! A file with what is compressed in it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("unpack"),
    |data: &[u8]| secrets_bridge_fuzz::unpack(data)
);
