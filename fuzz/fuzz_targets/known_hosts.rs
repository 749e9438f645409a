//! A known_hosts file of the host.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("known_hosts"),
    |data: &[u8]| secrets_bridge_fuzz::known_hosts(data)
);
