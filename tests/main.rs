//! What users see, through the real binary: one module for each promise or topic.
//!
//! The harness is `support`; `peer` has bridges and clients that break the rules. Tests with real image builders are in
//! `builders`, tests of the program for Windows in `windows`: each is a target of its own that `cargo xtask test` runs.

#![cfg(unix)]
// Tests fail by panicking, in helpers as well as in the functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub, reason = "`pub` in the harness means: for the tests")]

mod peer;
#[allow(dead_code, reason = "servers and registries that also the tests of builders use")]
mod support;

/// Where the conf is searched for, and that it is useless once its bridge has ended.
mod conf {
    mod end_of_life;
    mod lookup;
    #[cfg(target_os = "linux")]
    mod name_service;
    mod without_a_bridge;
}

/// Handshake, pin, dialling, and peers that break the protocol.
mod transport {
    mod concurrency;
    mod descriptors;
    mod dial;
    mod handshake;
    mod hostile_bridge;
    mod impostor;
    mod limits;
    mod memory;
    #[cfg(target_os = "linux")]
    mod no_proxy;
    mod retry;
    mod session_id;
    mod strangers;
    mod streams;
}

/// Where secrets come from, that their bytes arrive unchanged, and that nothing shows them.
mod secrets {
    mod bytes;
    mod memory;
    mod secrecy;
    mod sources;
}

/// Secrets as files (`exec --file`).
mod files {
    mod delivery;
    mod readers;
    mod replaced;
    mod users;
}

/// Masking, the leak check and `scan`: secrets found where they should not be.
mod leaks {
    mod check;
    mod check_scope;
    mod compressed;
    mod false_alarms;
    mod forms;
    mod inspection;
    mod lines;
    mod masking;
    mod scan;
    mod scan_formats;
    mod scan_image;
    mod scan_unread;
    #[cfg(target_os = "linux")]
    mod scratch_root;
}

/// The commands, and what is common to them.
mod commands {
    mod audit;
    mod escaping;
    mod exec;
    mod files_written;
    mod help;
    mod log;
    mod pipes;
    mod run;
    mod serve;
    mod serve_in_background;
}

/// COMMAND under `exec`: its output through masking, its signals, and what it leaves running.
#[cfg(target_os = "linux")]
mod exec {
    mod left_running;
    mod output;
    mod pieces;
    mod signals;
}

/// The project file, and its approval.
mod project {
    mod approval;
    mod file;
    mod http;
    mod paths;
}

/// The SSH agent of the bridge, asked directly.
mod agent {
    mod broken_connections;
    mod channels;
    mod hostile_bridge;
    mod keys;
    mod limits;
    mod nested_exec;
    mod other_clients;
    mod policy;
    mod requests;
    mod socket;
    mod ssh_agent_lib;
    mod upstream;
    mod upstream_connections;
}

/// OpenSSH and git over SSH in a build, against real servers.
mod ssh {
    mod deploy_keys;
    mod exec_processes;
    mod logins;
    mod many_logins;
    mod other_environments;
    mod tools;
}

/// git over https.
mod git {
    mod credentials;
    mod host_credentials;
    mod users_in_urls;
}

/// HTTP requests that get their credential on the host.
#[cfg(target_os = "linux")]
mod http {
    mod answers;
    mod credential;
    mod death;
    mod exec_options;
    mod framing;
    mod lfs;
    mod listener;
    mod nowhere;
    mod policy;
    mod proxies;
    mod rule_options;
    mod rules;
    mod servers;
    mod site;
    mod transfer;
}

/// What breaks: connections, processes, disks, clocks. docs/RELIABILITY.md names these tests.
#[cfg(target_os = "linux")]
mod faults {
    mod connections;
    mod processes;
    mod proxy;
    mod resources;
    mod time;

    use super::is_long;
}

/// The documents say what the code does.
mod documents {
    mod promises;
    mod protocol;
    mod protocol_client;
    mod reliability;
}

/// Whether `cargo xtask test --long` runs these tests, which repeat more and wait longer then.
#[cfg(target_os = "linux")]
fn is_long() -> bool {
    std::env::var("SECRETS_BRIDGE_TEST_LONG").is_ok_and(|value| value == "1")
}
