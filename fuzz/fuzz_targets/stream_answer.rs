//! A message from a bridge on a stream, as a client reads it.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("stream_answer"),
    |data: &[u8]| secrets_bridge_fuzz::stream_answer(data)
);
