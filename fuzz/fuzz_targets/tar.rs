//! A tar archive: that of the image, and a layer.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("tar"),
    |data: &[u8]| secrets_bridge_fuzz::tar(data)
);
