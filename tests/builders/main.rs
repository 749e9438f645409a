//! Builds by Docker, BuildKit and buildah. `cargo xtask test` starts what they need, and runs these tests.

#![cfg(target_os = "linux")]
// Tests fail by panicking, in helpers as well as in the functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub, reason = "`pub` in the harness means: for the tests")]

mod context;
mod http;
mod recipes;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness of tests/main.rs; these tests use a part of it")]
mod support;

mod buildah;
#[path = "../documents/promises.rs"]
mod promises;
mod docker {
    mod engine;

    mod build;
    mod files;
    mod http;
    mod name_services;
    mod packages;
    mod ssh;
    mod users;
}
