//! Websocket frames, as a bridge reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("websocket_frames"),
    |data: &[u8]| secrets_bridge_fuzz::websocket_frames(data)
);
