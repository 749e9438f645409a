//! A public key or certificate, as an agent offers it, and as a bind carries it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("certificate"),
    |data: &[u8]| secrets_bridge_fuzz::certificate(data)
);
