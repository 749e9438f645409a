//! A message from a client on a stream, as a bridge reads it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("stream_request"),
    |data: &[u8]| secrets_bridge_fuzz::stream_request(data)
);
