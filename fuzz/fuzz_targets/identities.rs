//! An agent's list of keys, as a bridge reads it from the agent of the host, and a client from the bridge.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("identities"),
    |data: &[u8]| secrets_bridge_fuzz::identities(data)
);
