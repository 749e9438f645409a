//! A message from a client, as a bridge reads it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("client_message"),
    |data: &[u8]| secrets_bridge_fuzz::client_message(data)
);
