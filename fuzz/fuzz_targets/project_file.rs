//! `secrets-bridge.toml`, as `allow` reads it to show it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("project_file"),
    |data: &[u8]| secrets_bridge_fuzz::project_file(data)
);
