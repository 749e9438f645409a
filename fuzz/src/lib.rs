//! What must hold for any bytes that a peer, a file or a repository can contain: one function for each parser of them.
//!
//! libFuzzer calls the functions from the programs in `fuzz_targets/` (`cargo xtask fuzz`). The tests of this crate call
//! them with the same seeds, with changed seeds, and with every input that once failed (`regressions/`).
//!
//! Where a format is strict, what decodes must encode to the same bytes. Where a text is shown, it must be escaped and
//! bounded. Where a decision is made, the decision is checked by a second, simpler reading of the same bytes.

#![forbid(unsafe_code)]
// A broken promise is a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agent;
mod checks;
mod connection;
mod credentials;
mod http;
mod http_rules;
mod image;
mod key_files;
mod packed;
mod project;
mod ssh;
mod text;
mod values;
mod wire;

pub use agent::agent_requests;
pub use connection::{client_hello, knock, websocket_frames};
pub use credentials::{git_attributes, git_credentials};
pub use http::{http_answer, http_body, http_request};
pub use http_rules::{http_echo, http_judge, http_lfs, http_rule};
pub use image::{compression, manifests, tar};
pub use key_files::key_files;
pub use packed::unpack;
pub use project::project_file;
pub use ssh::{certificate, known_hosts, session_bind, sshsig, userauth};
pub use text::{escape, proxy_response};
pub use values::leak_values;
pub use wire::{client_message, conf, hello, host_message, identities, stream_answer, stream_request};

/// A function for libFuzzer, and where it begins.
pub struct Target {
    /// As its program in `fuzz_targets/`.
    pub name: &'static str,
    /// Panics if something that must hold does not.
    pub run: fn(&[u8]),
    /// Valid inputs, made by the code that makes them in earnest where there is such code.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "agent_requests", run: agent_requests, seeds: agent::seeds },
    Target { name: "certificate", run: certificate, seeds: ssh::certificate_seeds },
    Target { name: "client_hello", run: client_hello, seeds: connection::client_hello_seeds },
    Target { name: "client_message", run: client_message, seeds: wire::client_message_seeds },
    Target { name: "compression", run: compression, seeds: image::compression_seeds },
    Target { name: "conf", run: conf, seeds: wire::conf_seeds },
    Target { name: "escape", run: escape, seeds: text::escape_seeds },
    Target { name: "git_attributes", run: git_attributes, seeds: credentials::attributes_seeds },
    Target { name: "git_credentials", run: git_credentials, seeds: credentials::credentials_seeds },
    Target { name: "hello", run: hello, seeds: wire::hello_seeds },
    Target { name: "host_message", run: host_message, seeds: wire::host_message_seeds },
    Target { name: "http_answer", run: http_answer, seeds: http::answer_seeds },
    Target { name: "http_body", run: http_body, seeds: http::body_seeds },
    Target { name: "http_echo", run: http_echo, seeds: http_rules::echo_seeds },
    Target { name: "http_judge", run: http_judge, seeds: http_rules::judge_seeds },
    Target { name: "http_lfs", run: http_lfs, seeds: http_rules::lfs_seeds },
    Target { name: "http_request", run: http_request, seeds: http::request_seeds },
    Target { name: "http_rule", run: http_rule, seeds: http_rules::rule_seeds },
    Target { name: "identities", run: identities, seeds: wire::identities_seeds },
    Target { name: "key_files", run: key_files, seeds: key_files::seeds },
    Target { name: "knock", run: knock, seeds: connection::knock_seeds },
    Target { name: "known_hosts", run: known_hosts, seeds: ssh::known_hosts_seeds },
    Target { name: "leak_values", run: leak_values, seeds: values::seeds },
    Target { name: "manifests", run: manifests, seeds: image::manifests_seeds },
    Target { name: "project_file", run: project_file, seeds: project::seeds },
    Target { name: "proxy_response", run: proxy_response, seeds: text::proxy_seeds },
    Target { name: "session_bind", run: session_bind, seeds: ssh::session_bind_seeds },
    Target { name: "sshsig", run: sshsig, seeds: ssh::sshsig_seeds },
    Target { name: "stream_answer", run: stream_answer, seeds: wire::stream_answer_seeds },
    Target { name: "stream_request", run: stream_request, seeds: wire::stream_request_seeds },
    Target { name: "tar", run: tar, seeds: image::tar_seeds },
    Target { name: "unpack", run: unpack, seeds: packed::seeds },
    Target { name: "userauth", run: userauth, seeds: ssh::userauth_seeds },
    Target { name: "websocket_frames", run: websocket_frames, seeds: connection::websocket_seeds },
];

/// Writes the seeds of the target `name` to the directory in `SECRETS_BRIDGE_FUZZ_SEEDS`, if that is set. The programs
/// call it before libFuzzer reads its directories.
pub fn write_seeds(name: &str) {
    let Some(directory) = std::env::var_os("SECRETS_BRIDGE_FUZZ_SEEDS").map(std::path::PathBuf::from) else {
        return;
    };
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
    }
}

#[cfg(test)]
mod tests;
