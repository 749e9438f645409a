//! Documents of an image, separated by zero bytes: manifest, config and index.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("manifests"),
    |data: &[u8]| secrets_bridge_fuzz::manifests(data)
);
