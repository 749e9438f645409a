//! A client that knows only `docs/PROTOCOL.md` works with a bridge: its upgrade request is sent as it stands there, and
//! `protocol_client.py` was written from that page.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use proto::tls;

use super::protocol::{ssh_key, text};
use crate::peer::TlsClient;
use crate::support::require::{OPENSSH, OPENSSL, PYTHON, require};
use crate::support::{Bridge, Home, Start as _};

#[test]
fn the_upgrade_request_is_answered_as_documented() {
    let bridge = Bridge::serve(["--secret", "NPM_TOKEN=hunter2"]);
    let crlf = |name| text(name).replace('\n', "\r\n");
    let mut connection = TlsClient::to(&bridge.conf).unwrap();
    connection.write(crlf("upgrade-request").as_bytes());
    let expected = crlf("upgrade-response");
    assert_eq!(String::from_utf8_lossy(&connection.read_exactly(expected.len())), expected);
    // `welcome` follows at once: a binary frame, not masked, with message 16.
    assert_eq!(connection.read_exactly(5), [0x82, 3, 0x82, 0x10, 0x80]);
}

#[test]
fn the_example_client_gets_its_secrets() {
    require!(PYTHON, OPENSSL);
    let home = Home::new();
    // Several full chunks and a last one that is not, and not text.
    let long: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let secrets = home.file("long", &long);
    let serve = [
        "--tls-compat",
        "--max-sessions",
        "2",
        "--secret",
        "NPM_TOKEN=hunter2",
        "--secret",
        "id=empty,cmd=true,allow-empty",
        "--secret",
        &format!("id=ci/long,src={}", secrets.display()),
    ]
    .map(str::to_owned);
    let bridge = Bridge::serve_in(home, serve);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/protocol_client.py");
    let out = bridge.home.path("out");
    fs::create_dir(&out).unwrap();
    let client = |args: &[&str]| {
        let mut command = bridge.home.program("python3", [script]);
        command.args(args).env("BRIDGE_CONF", &bridge.conf);
        command.outcome()
    };

    client(&["test"]).succeeds().prints("NPM_TOKEN\nci/long\nempty\n");
    client(&[
        "fetch",
        &out.display().to_string(),
        "NPM_TOKEN",
        "ci/long",
        "empty",
        "--then",
        "NPM_TOKEN",
        "nowhere",
    ])
    .succeeds()
    .prints("NPM_TOKEN 7\nci/long 200000\nempty 0\nNPM_TOKEN 7\nnowhere refused 1\n");
    let read = |name| fs::read(out.join(name)).unwrap();
    assert_eq!((read("NPM_TOKEN"), read("ci_long"), read("empty")), (b"hunter2".to_vec(), long, vec![]));
    // The connection breaks in the middle, and the session continues. It is the second of two: the bridge ends.
    client(&["redial", "ci/long"]).succeeds().prints("same session, 200000 bytes\n");
    bridge.process.exits();
    client(&["fetch", &out.display().to_string(), "NPM_TOKEN"]).exits_with(1).says("the bridge is gone");
}

#[test]
fn the_example_client_gets_logins_signed_and_nothing_else() {
    require!(PYTHON, OPENSSL, OPENSSH);
    let home = Home::new();
    let [socket, key] = ["agent.sock", "key"].map(|name| home.path(name).display().to_string());
    home.program("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", &key])
        .outcome()
        .succeeds();
    let agent = home.program("ssh-agent", ["-D", "-a", &socket]).start();
    agent.prints("SSH_AUTH_SOCK");
    home.program("ssh-add", ["-q", &key]).env("SSH_AUTH_SOCK", &socket).outcome().succeeds();
    // The host's key is that of RFC 8032's test 1: the script stands in for the host. A pin is a SHA-256.
    let fingerprint = STANDARD_NO_PAD.encode(tls::pin_of(&ssh_key("ca-spki")).0);
    let serve = [
        "--tls-compat",
        &format!("--ssh=default={socket}"),
        &format!("--ssh-allow-host=git.example=SHA256:{fingerprint}"),
        "--ssh-allow-user=git",
        "--ssh-max-signatures=2",
    ]
    .map(str::to_owned);
    let bridge = Bridge::serve_in(home, serve);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/protocol_client.py");
    let client = |args: &[&str]| {
        let mut command = bridge.home.program("python3", [script]);
        command.args(args).env("BRIDGE_CONF", &bridge.conf);
        command.outcome()
    };
    client(&["agent", "other"]).exits_with(1).says("it offers default");
    client(&["agent", "default", "git"]).succeeds().prints(
        "ssh-ed25519 'deploy'\n\
         git without a bind: this client does not say which host it talks to (no session-bind): use OpenSSH 8.9 \
         or later; for cargo set net.git-fetch-with-cli = true\n\
         git: valid signature\n\
         git in another session: the session id is not the bound one\n\
         remove all keys: the request would change the agent (remove all keys)\n\
         git after a redial: valid signature\n",
    );
    let refused = client(&["agent", "default", "root"]).succeeds().text();
    assert!(refused.contains("root: user root is not allowed\n"), "{refused}");
    let refused = client(&["agent", "default", "git"]).succeeds().text();
    assert!(
        refused.contains("git: the limit of signatures is reached (--ssh-max-signatures)\n"),
        "{refused}"
    );
}

#[test]
fn the_example_client_rejects_other_bridges() {
    require!(PYTHON, OPENSSL);
    let bridge = Bridge::serve(["--tls-compat", "--secret", "TOKEN=hunter2"]);
    let other = Bridge::serve(["--tls-compat", "--secret", "TOKEN=other"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/protocol_client.py");
    let client = |conf: &str| {
        let mut command = bridge.home.program("python3", [script, "test"]);
        command.env("BRIDGE_CONF", conf).outcome()
    };
    let (ours, theirs) = (crate::peer::conf(&bridge.conf), crate::peer::conf(&other.conf));
    let text = |conf: &proto::BridgeConf| String::from_utf8(conf.to_text().expose().to_vec()).unwrap();
    let pinned_to_another = proto::BridgeConf { pin: theirs.pin, ..ours.clone() };
    client(&text(&pinned_to_another)).exits_with(1).says("another bridge");
    let with_another_key = proto::BridgeConf { client_seed: theirs.client_seed, ..ours };
    client(&text(&with_another_key)).exits_with(1).says("ACCESS_DENIED");
}
