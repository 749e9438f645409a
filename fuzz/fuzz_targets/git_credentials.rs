//! What a client reads as the secret `git-credentials`.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("git_credentials"),
    |data: &[u8]| secrets_bridge_fuzz::git_credentials(data)
);
