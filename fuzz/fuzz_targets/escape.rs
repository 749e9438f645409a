//! Everything that escapes text, for text of any kind.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("escape"),
    |data: &[u8]| secrets_bridge_fuzz::escape(data)
);
