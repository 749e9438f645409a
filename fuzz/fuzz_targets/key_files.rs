//! A key file. What loads signs, and the policy's own verification accepts the signature.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("key_files"),
    |data: &[u8]| secrets_bridge_fuzz::key_files(data)
);
