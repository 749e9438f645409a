//! `docs/PROTOCOL.md` says what the code does: its examples, tables and limits are compared with `proto`, and its
//! upgrade request is sent to a bridge as it stands there.

// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proto::agent::{self, GitKey, Identity, Writer, identities_answer, number};
use proto::{
    BridgeConf, ClientMessage, ClientSeed, Endpoint, HELLO_HEADER, Hello, HostMessage, Key, Pin, Purpose,
    RefusalReason, SUBPROTOCOL, SessionId, UPGRADE_PATH, Untrusted, UpgradeRefusal, client_certificate,
    limits, tls,
};

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");

/// The fenced blocks that are marked `<!-- example: NAME -->`.
fn examples() -> BTreeMap<&'static str, &'static str> {
    let mut examples = BTreeMap::new();
    for part in DOCUMENT.split("<!-- example: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        assert!(examples.insert(name, text).is_none(), "two examples {name}");
    }
    examples
}

fn text(name: &str) -> &'static str {
    examples().get(name).unwrap_or_else(|| panic!("no example {name}"))
}

/// An example of bytes: hexadecimal, with comments from `#` on.
fn bytes(name: &str) -> Vec<u8> {
    text(name)
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The rows of the table that is marked `<!-- table: NAME -->`, without its heading.
fn table(name: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = DOCUMENT.split_once(&format!("<!-- table: {name} -->\n")).unwrap();
    rest.lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// 000102…0f, the session of all examples.
fn session() -> SessionId {
    SessionId(std::array::from_fn(|index| index as u8))
}

fn pin() -> Pin {
    Pin(bytes("pin").try_into().unwrap())
}

fn seed() -> ClientSeed {
    ClientSeed::new(bytes("seed").try_into().unwrap())
}

/// An Ed25519 public key, in SSH's encoding: the last 32 bytes of a `SubjectPublicKeyInfo`.
fn ssh_key(spki: &str) -> Vec<u8> {
    let mut key = Writer::inner();
    key.string(b"ssh-ed25519").string(&bytes(spki)[12..]);
    key.finish()
}

#[track_caller]
fn assert_conf(name: &str, conf: &BridgeConf) {
    let shown = text(name).trim();
    assert_eq!(String::from_utf8_lossy(conf.to_text().expose()), shown, "{name}");
    let read = BridgeConf::parse(shown).unwrap();
    assert_eq!((read.expiry, read.port, read.pin), (conf.expiry, conf.port, conf.pin), "{name}");
    assert_eq!(read.client_seed.expose(), conf.client_seed.expose(), "{name}");
    assert_eq!(read.endpoints, conf.endpoints, "{name}");
}

#[test]
fn confs_are_encoded_as_in_the_examples() {
    let conf =
        |expiry, port, endpoints| BridgeConf { expiry, port, pin: pin(), client_seed: seed(), endpoints };
    let address = |ip: &str| Endpoint::Address(ip.parse().unwrap());
    assert_conf("conf-one-address", &conf(Some(1_795_305_600), 43857, vec![address("172.17.0.1")]));
    assert_conf(
        "conf-three-endpoints",
        &conf(
            None,
            9100,
            vec![address("10.0.0.7"), address("2001:db8::1"), "bridge.example:443".parse().unwrap()],
        ),
    );
    let whole = [bytes("conf-one-address-body"), bytes("conf-one-address-crc")].concat();
    let shown = text("conf-one-address").trim();
    assert_eq!(format!("{}{}", proto::CONF_PREFIX, URL_SAFE_NO_PAD.encode(whole)), shown);
}

#[test]
fn pin_and_client_key_are_derived_as_described() {
    assert_eq!(tls::pin_of(&bytes("ca-spki")), pin());
    assert_eq!(client_certificate::public_key(&seed()).unwrap().as_ref(), bytes("client-spki"));
    let config = tls::client_config(pin(), &seed()).unwrap();
    let client = config.client_auth_cert_resolver.resolve(&[], &[rustls::SignatureScheme::ED25519]).unwrap();
    let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from(bytes("client-pkcs8"));
    let key = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&pkcs8).unwrap();
    assert_eq!(client.key.public_key(), key.public_key());
}

#[test]
fn hellos_are_encoded_as_in_the_examples() {
    let hello = |purpose, resume, names| Hello { purpose, resume, keys: keys(names), agent: None };
    let agent = Some("default".parse().unwrap());
    for (name, hello) in [
        ("hello-session", hello(Purpose::Session, None, &["NPM_TOKEN"])),
        ("hello-agent", Hello { agent, ..hello(Purpose::Session, None, &[]) }),
        ("hello-resume", hello(Purpose::Session, Some(session()), &["NPM_TOKEN", "ci/netrc"])),
        ("hello-test", hello(Purpose::Test, None, &[])),
        ("hello-kill", hello(Purpose::Kill, None, &[])),
    ] {
        let value = URL_SAFE_NO_PAD.encode(bytes(name));
        assert_eq!(hello.to_header(), value, "{name}");
        assert_eq!(Hello::from_header(&value).unwrap(), hello, "{name}");
    }
}

#[test]
fn the_upgrade_request_carries_the_first_hello() {
    let mut lines = text("upgrade-request").lines();
    assert_eq!(lines.next(), Some(format!("GET {UPGRADE_PATH} HTTP/1.1").as_str()));
    let headers: BTreeMap<String, &str> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    assert_eq!(headers["sec-websocket-protocol"], SUBPROTOCOL);
    assert_eq!(URL_SAFE_NO_PAD.decode(headers[HELLO_HEADER]).unwrap(), bytes("hello-session"));
}

#[test]
fn messages_are_encoded_as_in_the_examples() {
    let get = ClientMessage::Get { first: 2, keys: keys(&["k3", "k4"]) };
    assert_eq!(get.encode(), bytes("get"));
    assert_eq!(ClientMessage::decode(&bytes("get")).unwrap(), get);

    let source_failed = HostMessage::Refused {
        request: 300,
        reason: RefusalReason::SourceFailed,
        detail: Untrusted::new("the command exited with 1"),
    };
    let unknown =
        HostMessage::Refused { request: 2, reason: RefusalReason::Unknown, detail: Untrusted::default() };
    for (name, message) in [
        ("welcome", HostMessage::Welcome { session: session(), agents: vec!["default".parse().unwrap()] }),
        ("length", HostMessage::Length { request: 0, length: 70_000 }),
        ("length-empty", HostMessage::Length { request: 1, length: 0 }),
        ("chunk", HostMessage::Chunk { request: 0, bytes: b"hunter2" }),
        ("refused-unknown", unknown),
        ("refused-source", source_failed),
        ("offers", HostMessage::Offers { keys: keys(&["NPM_TOKEN", "ci/netrc"]), agents: vec![] }),
        ("ending", HostMessage::Ending),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(HostMessage::decode(&bytes(name)).unwrap(), message, "{name}");
    }
}

#[test]
fn agent_messages_are_encoded_as_in_the_examples() {
    for (name, message) in [
        ("agent-message", ClientMessage::Agent { channel: 0, message: &[number::REQUEST_IDENTITIES] }),
        ("close", ClientMessage::Close { channel: 0 }),
        ("list-again", ClientMessage::ListAgain),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(ClientMessage::decode(&bytes(name)).unwrap(), message, "{name}");
    }

    let identity = Identity { key: ssh_key("client-spki"), comment: b"deploy".to_vec() };
    let host_key = STANDARD.encode(ssh_key("ca-spki"));
    let agent = HostMessage::Agent {
        known_hosts: vec![format!("git.example ssh-ed25519 {host_key}").parse().unwrap()],
        git_keys: vec![GitKey {
            repository: "git.example/org/repo".parse().unwrap(),
            key: identity.key.clone(),
        }],
    };
    let identities = vec![identity];
    let answer = HostMessage::Answer {
        channel: 0,
        answer: identities_answer(&identities).into(),
        refusal: Untrusted::default(),
    };
    let refused = HostMessage::Answer {
        channel: 1,
        answer: vec![number::FAILURE].into(),
        refusal: Untrusted::new("host evil.example is not allowed"),
    };
    for (name, message) in [
        ("agent", agent),
        ("identities", HostMessage::Identities { fixed: true, identities }),
        ("answer", answer),
        ("answer-refused", refused),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(HostMessage::decode(&bytes(name)).unwrap(), message, "{name}");
    }
}

#[test]
fn allowed_agent_requests_are_listed_with_their_numbers() {
    let (_, rest) = DOCUMENT.split_once("These requests pass; all others are refused:").unwrap();
    let (rest, _) = rest.split_once("6 is success, 5 is failure.").unwrap();
    let named: Vec<&str> = rest
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok().map(|_| line))
        .collect();
    let numbers: Vec<u8> = named.iter().map(|line| line[2..4].parse().unwrap()).collect();
    assert_eq!(numbers, [number::REQUEST_IDENTITIES, number::SIGN_REQUEST, number::EXTENSION]);
    assert!(named[0].contains(&format!("the answer is {},", number::IDENTITIES_ANSWER)));
    assert!(named[1].contains(&format!("the answer is {} ", number::SIGN_RESPONSE)));
    assert_eq!((number::SUCCESS, number::FAILURE), (6, 5));
    let extension = std::str::from_utf8(agent::SESSION_BIND).unwrap();
    assert!(DOCUMENT.contains(&format!("`{extension}`")));
}

#[test]
fn the_frame_is_the_message_masked() {
    let frame = bytes("get-frame");
    let (head, rest) = frame.split_at(2);
    let (mask, payload) = rest.split_at(4);
    assert_eq!(head, [0x82, 0x80 | payload.len() as u8], "a single final binary frame, masked");
    let unmasked: Vec<u8> = payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]).collect();
    assert_eq!(unmasked, bytes("get"));
}

#[test]
fn the_cddl_names_every_message_with_its_number_and_its_limits() {
    for rule in [
        "get     = [1, first: request, keys: [1*4096 key]]",
        "welcome = [16, ",
        "length  = [17, request: request, bytes: 0..1073741824]",
        "chunk   = [18, request: request, part: bytes .size (1..65536)]",
        "refused = [19, request: request, reason: 1..4, detail: text .size (0..1024)]",
        "offers  = [20, keys: [0*4096 key], agents: [0*4096 agent-id]]",
        "ending  = [21]",
        "key = text .regexp \"[A-Za-z0-9._/-]{1,128}\"",
        "agent-id = text .regexp \"[A-Za-z0-9._/-]{1,128}\"",
        "request = 0..16383",
        "0*16 endpoint",
        "keys: [0*4096 key], ",
        "agent: agent-id / null ",
        "agent-message = [2, channel: channel, message: agent-bytes]",
        "close         = [3, channel: channel]",
        "list-again    = [4]",
        "answer        = [24, channel: channel, answer: agent-bytes, refusal: text .size (0..1024)]",
    ] {
        assert!(DOCUMENT.contains(rule), "no {rule:?}");
    }
    let (hosts, keys, comment) = (
        limits::MAX_AGENT_HOSTS,
        limits::MAX_IDENTITIES,
        format!("bytes .size (0..{})", limits::MAX_COMMENT),
    );
    for rule in [
        format!("agent-bytes   = bytes .size (1..{}) ", limits::MAX_MESSAGE),
        format!("public-key    = bytes .size (0..{}) ", limits::MAX_PUBLIC_KEY),
        format!("known-host    = text .size (1..{}) ", limits::MAX_KNOWN_HOST),
        format!("repository    = text .size (1..{}) ", limits::MAX_REPOSITORY),
        format!(
            "agent         = [22, known-hosts: [0*{hosts} known-host], git-keys: [0*{hosts} [repository, public-key]]]"
        ),
        format!("identities    = [23, fixed: bool, identities: [0*{keys} [public-key, comment: {comment}]]]"),
    ] {
        assert!(DOCUMENT.contains(&rule), "no {rule:?}");
    }
}

#[test]
fn the_cddl_defines_every_message_and_no_other() {
    let documented: BTreeMap<u8, &str> = DOCUMENT
        .lines()
        .filter_map(|line| {
            let (name, array) = line.split_once(" = [").filter(|(name, _)| !name.starts_with(' '))?;
            Some((array.split([',', ']']).next()?.parse().ok()?, name.trim_end()))
        })
        .collect();
    let real = ClientMessage::NUMBERS.into_iter().chain(HostMessage::NUMBERS);
    assert_eq!(documented, real.collect());
}

#[test]
fn the_tables_of_refusals_are_complete() {
    let documented: BTreeSet<u16> = table("statuses").iter().map(|row| row[0].parse().unwrap()).collect();
    let real: BTreeSet<u16> = UpgradeRefusal::ALL.into_iter().map(UpgradeRefusal::status).collect();
    assert_eq!(documented, real);

    let documented: BTreeMap<u8, &str> =
        table("reasons").iter().map(|row| (row[0].parse().unwrap(), row[1])).collect();
    let real: BTreeMap<u8, &str> =
        RefusalReason::ALL.into_iter().map(|reason| (reason.number(), reason.as_str())).collect();
    assert_eq!(documented, real);
}

#[test]
fn the_table_of_limits_is_complete() {
    let real: BTreeMap<&str, u64> = limits::LIMITS.iter().copied().collect();
    let documented: BTreeMap<&str, u64> =
        table("limits").iter().map(|row| (row[0], row[1].parse().unwrap())).collect();
    assert_eq!(documented, real);
}

#[test]
fn every_example_is_checked() {
    let checked = BTreeSet::from([
        "ca-spki",
        "pin",
        "seed",
        "conf-one-address-body",
        "conf-one-address-crc",
        "conf-one-address",
        "conf-three-endpoints",
        "client-pkcs8",
        "client-spki",
        "upgrade-request",
        "upgrade-response",
        "hello-session",
        "hello-agent",
        "hello-resume",
        "hello-test",
        "hello-kill",
        "get",
        "get-frame",
        "welcome",
        "length",
        "length-empty",
        "chunk",
        "refused-unknown",
        "refused-source",
        "offers",
        "ending",
        "agent",
        "identities",
        "list-again",
        "agent-message",
        "answer",
        "answer-refused",
        "close",
    ]);
    assert_eq!(examples().into_keys().collect::<BTreeSet<_>>(), checked);
}

#[cfg(unix)]
mod against_a_bridge {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proto::tls;

    use super::{ssh_key, text};
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
        assert_eq!(connection.read_exactly(5), [0x82, 20, 0x83, 0x10, 0x50]);
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
}
