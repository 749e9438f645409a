//! The project file of a repository.

use std::path::Path;

use secrets_bridge::fuzzing;

use crate::checks::{MAX_ERROR, assert_shown};

/// `secrets-bridge.toml`, as `allow` reads it to show it.
pub fn project_file(data: &[u8]) {
    match fuzzing::project_file(data, Path::new("/nowhere/repository")) {
        // Escaped where it is shown: see `commands/escaping.rs`.
        Ok(lines) => assert!(!lines.is_empty() && lines.len() <= data.len() + 20),
        Err(error) => assert_shown(&error, MAX_ERROR + 4096),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const ALL: &str = r#"
listen = ":9100-9199"
allow-from = ["10.0.0.0/8", "loopback"]
endpoint = ["bridge.example:9100"]
timeout = "5m"
max-sessions = 3
tls-compat = true
audit = "audit.jsonl"
scan = "app"
git-credential = ["https://git.example/org=TOKEN"]

[secrets]
TOKEN = { env = "TOKEN", trim = false, allow-empty = true, max-reads = 2 }
netrc = { src = "~/.netrc" }
"b64:key" = { cmd = "pass show key" }

[http]
"npm.example" = { env = "TOKEN", auth = "header:X-Api-Key", methods = ["GET", "POST"], plain = "pass" }
"me@git.example:8443/org" = { cmd = "pass show git", "git+push" = true, lfs = true, own = "keep", ca = "ca.pem" }
"old.example:8080" = { key = "TOKEN", scheme = "http", methods = "GET+HEAD" }

[agents]
default = {}
deploy = { keys = ["deploy_key"] }
other = { socket = "/run/agent.sock" }

[ssh]
key = ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
allow-host = ["git.example:2222"]
known-hosts = ["known_hosts"]
host-proof = "both"
allow-user = ["git"]
allow-sshsig = ["git"]
allow-forwarding = true
max-signatures = 9
confirm = true

[git-key]
"git.example/org/repo" = "deploy"

[agent-socket]
default = "agent.sock"
"#;
    const EXAMPLE: &str = include_str!("../../src/host/project_file/example.toml");
    let mut seeds = vec![ALL.as_bytes().to_vec(), EXAMPLE.as_bytes().to_vec()];
    // One setting at a time, so that an error in one of them does not hide the others.
    seeds.extend(ALL.split("\n\n").map(|part| part.as_bytes().to_vec()));
    seeds.push(b"once = true\nsecrets.TOKEN = \"hunter2\"\n".to_vec());
    seeds
}
