//! The first bytes of a peer, which may arrive in any pieces: a byte for their size, then the bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("client_hello"),
    |data: &[u8]| secrets_bridge_fuzz::client_hello(data)
);
