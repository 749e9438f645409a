//! A proxy's answer to CONNECT, which arrives byte by byte.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("proxy_response"),
    |data: &[u8]| secrets_bridge_fuzz::proxy_response(data)
);
