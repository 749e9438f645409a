//! The program for Windows: `cargo xtask test` builds it, and wine stands in for Windows.

#![cfg(unix)]
// Tests fail by panicking, in helpers as well as in the functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub, reason = "`pub` in the harness means: for the tests")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness of tests/main.rs; these tests use a part of it")]
mod support;
mod wine;

mod agent;
mod client;
mod exec;
#[path = "../documents/promises.rs"]
mod promises;
mod serve;
