//! Begins with a byte for the policy. Each step is a byte, and what the step needs: a request of a client that follows

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("agent_requests"),
    |data: &[u8]| secrets_bridge_fuzz::agent_requests(data)
);
