//! Batch requests and answers of git LFS.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("http_lfs"),
    |data: &[u8]| secrets_bridge_fuzz::http_lfs(data)
);
