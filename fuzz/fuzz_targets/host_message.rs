//! A message from a bridge, as a client reads it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("host_message"),
    |data: &[u8]| secrets_bridge_fuzz::host_message(data)
);
