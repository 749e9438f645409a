//! A session-bind, without the name of the extension.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("session_bind"),
    |data: &[u8]| secrets_bridge_fuzz::session_bind(data)
);
