//! An SSHSIG, without its magic.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("sshsig"),
    |data: &[u8]| secrets_bridge_fuzz::sshsig(data)
);
