//! `docs/PROTOCOL.md` says what the code does: its examples, tables and limits are compared with `proto`.

// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proto::agent::{self, GitKey, Identity, Writer, identities_answer, number};
use proto::knock::{KnockKey, Nonce, PROTOCOL_REVISION};
use proto::{
    BridgeConf, ClientMessage, ClientSeed, Endpoint, HELLO_HEADER, Hello, HostMessage, Key, Pin, Purpose,
    RefusalReason, SUBPROTOCOL, SessionId, StreamAnswer, StreamRequest, UPGRADE_PATH, Untrusted,
    UpgradeRefusal, client_certificate, http::RuledOrigin, limits, tls,
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

pub(super) fn text(name: &str) -> &'static str {
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
pub(super) fn ssh_key(spki: &str) -> Vec<u8> {
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
    let config = tls::client_config(pin(), &seed())
        .unwrap()
        .for_connection(Nonce(bytes("knock-nonce").try_into().unwrap()));
    let client = config.client_auth_cert_resolver.resolve(&[], &[rustls::SignatureScheme::ED25519]).unwrap();
    let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from(bytes("client-pkcs8"));
    let key = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&pkcs8).unwrap();
    assert_eq!(client.key.public_key(), key.public_key());
}

#[test]
fn the_knock_is_made_as_described() {
    let knock = KnockKey::new(&seed()).knock(Nonce(bytes("knock-nonce").try_into().unwrap()));
    assert_eq!(String::from_utf8(knock.to_protocol()).unwrap(), text("knock").trim());
    let hash = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
    let key = hash(&[b"secrets-bridge knock", seed().expose().as_slice()].concat());
    assert_eq!(key, bytes("knock-key"));
    assert_eq!(hash(&key)[..8], bytes("knock-id"));
    let input = [&PROTOCOL_REVISION.to_be_bytes()[..], &bytes("knock-nonce")].concat();
    let proof = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &input);
    assert_eq!(proof.as_ref()[..16], bytes("knock-proof"));
    assert!(DOCUMENT.contains(&format!("The revision of this page is {PROTOCOL_REVISION}")));
}

#[test]
fn hellos_are_encoded_as_in_the_examples() {
    let hello =
        |names| Hello { session: session(), keys: keys(names), ..Hello::without_session(Purpose::Session) };
    let agent = Some("default".parse().unwrap());
    let nested = SessionId(std::array::from_fn(|index| 0x10 + index as u8));
    for (name, hello) in [
        ("hello-session", hello(&["NPM_TOKEN"])),
        ("hello-agent", Hello { agent, ..hello(&[]) }),
        ("hello-http", Hello { http: true, ..hello(&[]) }),
        ("hello-resume", Hello { resume: true, ..hello(&["NPM_TOKEN", "ci/netrc"]) }),
        ("hello-nested", Hello { session: nested, parent: Some(session()), ..hello(&[]) }),
        ("hello-test", Hello::without_session(Purpose::Test)),
        ("hello-kill", Hello::without_session(Purpose::Kill)),
        ("hello-stream", Hello { session: session(), ..Hello::without_session(Purpose::Stream) }),
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
    let origin = || "npm.example:443".parse().unwrap();
    for (name, message) in [
        ("welcome", HostMessage::Welcome { agents: vec!["default".parse().unwrap()] }),
        ("length", HostMessage::Length { request: 0, length: 70_000 }),
        ("length-empty", HostMessage::Length { request: 1, length: 0 }),
        ("chunk", HostMessage::Chunk { request: 0, bytes: b"hunter2" }),
        ("refused-unknown", unknown),
        ("refused-source", source_failed),
        (
            "offers",
            HostMessage::Offers {
                keys: keys(&["NPM_TOKEN", "ci/netrc"]),
                agents: vec![],
                origins: vec![origin()],
            },
        ),
        ("ending", HostMessage::Ending),
        ("waiting", HostMessage::Waiting),
        ("origins", HostMessage::Origins { origins: vec![RuledOrigin { origin: origin(), plain: false }] }),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(HostMessage::decode(&bytes(name)).unwrap(), message, "{name}");
    }
}

#[test]
fn messages_of_streams_are_encoded_as_in_the_examples() {
    let request = b"GET /a HTTP/1.1\r\nHost: npm.example\r\n\r\nPRI";
    for (name, message) in [
        ("connect", StreamRequest::Connect { origin: "npm.example:443".parse().unwrap() }),
        ("request-bytes", StreamRequest::Bytes { bytes: request }),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(StreamRequest::decode(&bytes(name)).unwrap(), message, "{name}");
    }
    for (name, message) in [
        ("answer-bytes", StreamAnswer::Bytes { bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" }),
        ("idle", StreamAnswer::Idle { received: 70_000 }),
        ("finished", StreamAnswer::Finished),
        ("refusal", StreamAnswer::Refusal { text: Untrusted::new("method POST is not permitted") }),
        ("signed-url", StreamAnswer::SignedUrl { url: b"https://store.example/a?sig=1" }),
    ] {
        assert_eq!(message.encode(), bytes(name), "{name}");
        assert_eq!(StreamAnswer::decode(&bytes(name)).unwrap(), message, "{name}");
    }
    let longest = &[0; limits::STREAM_CHUNK];
    assert!(StreamRequest::Bytes { bytes: longest }.encode().len() < limits::MAX_STREAM_FRAME);
    assert_eq!(StreamAnswer::Bytes { bytes: longest }.encode().len(), limits::MAX_STREAM_FRAME);
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
        "welcome = [16, agents: [0*4096 agent-id]]",
        "length  = [17, request: request, bytes: 0..1073741824]",
        "chunk   = [18, request: request, part: bytes .size (1..65536)]",
        "refused = [19, request: request, reason: 1..4, detail: text .size (0..1024)]",
        "offers  = [20, keys: [0*4096 key], agents: [0*4096 agent-id], origins: [0*256 origin]]",
        "origins = [26, origins: [0*256 [origin, plain: bool]]]",
        "connect       = [5, origin: origin]",
        "request-bytes = [6, bytes: http-bytes]",
        "answer-bytes  = [27, bytes: http-bytes]",
        "finished      = [29]",
        "refusal       = [30, text: text .size (0..1024)]",
        "  http: bool ",
        "ending  = [21]",
        "waiting = [25]",
        "  session: session-id, ",
        "  resume: bool, ",
        "  parent: session-id / null, ",
        "key = text .regexp \"[A-Za-z0-9._/-]{1,128}\"",
        "agent-id = text .regexp \"[A-Za-z0-9._/-]{1,128}\"",
        "request = 0..16383",
        "0*16 endpoint",
        "keys: [0*4096 key], ",
        "agent: agent-id / null, ",
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
        format!("http-bytes    = bytes .size (1..{})", limits::STREAM_CHUNK),
        format!("idle          = [28, received: 0..{}]", u64::MAX),
        format!("signed-url    = [31, url: bytes .size (1..{})]", limits::MAX_SIGNED_URL),
        format!("origin = text .size (3..{}) ", limits::MAX_HOST + 6),
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
    let real = ClientMessage::NUMBERS
        .into_iter()
        .chain(HostMessage::NUMBERS)
        .chain(StreamRequest::NUMBERS)
        .chain(StreamAnswer::NUMBERS);
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
        "knock-key",
        "knock-id",
        "knock-nonce",
        "knock-proof",
        "knock",
        "upgrade-request",
        "upgrade-response",
        "hello-session",
        "hello-agent",
        "hello-http",
        "hello-resume",
        "hello-nested",
        "hello-test",
        "hello-kill",
        "hello-stream",
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
        "waiting",
        "origins",
        "connect",
        "request-bytes",
        "answer-bytes",
        "idle",
        "finished",
        "refusal",
        "signed-url",
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
