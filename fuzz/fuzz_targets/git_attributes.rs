//! What git writes to a credential helper, and git's own answer on the host.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: secrets_bridge_fuzz::write_seeds("git_attributes"),
    |data: &[u8]| secrets_bridge_fuzz::git_attributes(data)
);
