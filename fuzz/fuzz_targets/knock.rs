//! An ALPN protocol. Only the knock that the key makes is accepted.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("knock"),
    |data: &[u8]| secrets_bridge_fuzz::knock(data)
);
