//! Conf, hello and messages: strict CBOR, so that a value has one encoding.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::agent::{GitKey, Identity, identities_answer, read_identities};
use proto::http::{Origin, RuledOrigin};
use proto::limits::{
    MAX_AGENT_HOSTS, MAX_CONF, MAX_ENDPOINTS, MAX_HELLO, MAX_HOST, MAX_IDENTITIES, MAX_KEYS_PER_GET,
    MAX_ORIGINS, MAX_SIGNED_URL, MAX_STREAM_FRAME, STREAM_CHUNK,
};
use proto::{
    BridgeConf, CONF_PREFIX, ClientMessage, ClientSeed, Endpoint, Hello, HostMessage, Key, Pin, Purpose,
    RefusalReason, SessionId, StreamAnswer, StreamRequest, Untrusted, looks_like_conf,
};

use crate::checks::{MAX_ERROR, MAX_ESCAPED, assert_shown};

/// A conf, as text and as what the text encodes.
pub fn conf(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        check_conf(text);
    }
    let checksum = crc32fast::hash(data).to_be_bytes();
    check_conf(&format!("{CONF_PREFIX}{}", URL_SAFE_NO_PAD.encode([data, &checksum].concat())));
}

fn check_conf(text: &str) {
    match BridgeConf::parse(text) {
        Ok(conf) => {
            assert!(looks_like_conf(text) && text.trim().len() <= MAX_CONF);
            assert!(conf.endpoints.len() <= MAX_ENDPOINTS);
            for endpoint in &conf.endpoints {
                assert_shown(&endpoint.with_port(conf.port), MAX_ESCAPED);
            }
            assert_eq!(conf.to_text().expose(), text.trim().as_bytes());
        }
        Err(error) => {
            let shown = error.to_string();
            assert_shown(&shown, MAX_ERROR);
            // The conf is a secret. Shorter pieces may be words of the error.
            let piece = text.trim().get(8..40);
            assert!(piece.is_none_or(|piece| !shown.contains(piece)), "an error repeats the conf");
        }
    }
}

pub(crate) fn conf_seeds() -> Vec<Vec<u8>> {
    let endpoints = vec![
        Endpoint::Address([172, 17, 0, 1].into()),
        Endpoint::Address([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        "bridge.example:9100".parse().unwrap(),
        "[2001:db8::2]:443".parse().unwrap(),
    ];
    let conf = |expiry, endpoints| BridgeConf {
        expiry,
        port: 43857,
        pin: Pin([0xab; 32]),
        client_seed: ClientSeed::new([0xcd; 32]),
        endpoints,
    };
    let confs = [conf(Some(1_795_305_600), endpoints), conf(None, vec![])];
    let texts = confs.iter().map(|conf| conf.to_text().expose().to_vec());
    let cbor = confs.iter().map(|conf| {
        let text = conf.to_text();
        let mut bytes = URL_SAFE_NO_PAD.decode(&text.expose()[CONF_PREFIX.len()..]).unwrap();
        bytes.truncate(bytes.len() - 4);
        bytes
    });
    texts.chain(cbor).chain([b"http://proxy:3128".to_vec(), b"sb2_AAAA".to_vec()]).collect()
}

/// The header of the upgrade request, as text and as what the text encodes.
pub fn hello(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        check_hello(text);
    }
    check_hello(&URL_SAFE_NO_PAD.encode(data));
}

fn check_hello(text: &str) {
    match Hello::from_header(text) {
        Ok(hello) => {
            assert!(text.len() <= MAX_HELLO && hello.keys.len() <= MAX_KEYS_PER_GET);
            assert_eq!(hello.to_header(), text);
        }
        Err(error) => assert_shown(&error.to_string(), MAX_ERROR),
    }
}

pub(crate) fn hello_seeds() -> Vec<Vec<u8>> {
    let hello = |purpose, keys: &[&str], agent: Option<&str>, resume: bool| {
        let parent = resume.then_some(SessionId([8; 16]));
        let agent = agent.map(|id| id.parse().unwrap());
        Hello {
            purpose,
            session: SessionId([7; 16]),
            resume,
            parent,
            keys: parsed(keys),
            agent,
            http: resume,
        }
    };
    let hellos = [
        hello(Purpose::Session, &["NPM_TOKEN", "netrc"], Some("default"), false),
        hello(Purpose::Session, &[], None, true),
        hello(Purpose::Test, &[], None, false),
        hello(Purpose::Kill, &[], None, false),
        hello(Purpose::Stream, &[], None, false),
    ];
    let texts = hellos.map(|hello| hello.to_header());
    texts.into_iter().flat_map(|text| [URL_SAFE_NO_PAD.decode(&text).unwrap(), text.into_bytes()]).collect()
}

fn parsed(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|key| key.parse().unwrap()).collect()
}

/// A message from a client, as a bridge reads it.
pub fn client_message(data: &[u8]) {
    match ClientMessage::decode(data) {
        Ok(message) => assert_eq!(message.encode(), data),
        Err(error) => assert_shown(&error.to_string(), MAX_ERROR),
    }
}

pub(crate) fn client_message_seeds() -> Vec<Vec<u8>> {
    vec![
        ClientMessage::Get { first: 9, keys: parsed(&["NPM_TOKEN", "a/b"]) }.encode(),
        ClientMessage::Agent { channel: 3, message: &[11] }.encode(),
        ClientMessage::Agent { channel: 0, message: &[13; 300] }.encode(),
        ClientMessage::Close { channel: 3 }.encode(),
        ClientMessage::ListAgain.encode(),
    ]
}

/// A message from a bridge, as a client reads it.
pub fn host_message(data: &[u8]) {
    let message = match HostMessage::decode(data) {
        Ok(message) => message,
        Err(error) => return assert_shown(&error.to_string(), MAX_ERROR),
    };
    assert_eq!(message.encode(), data);
    match &message {
        HostMessage::Refused { detail: text, .. } | HostMessage::Answer { refusal: text, .. } => {
            assert_shown(&text.to_string(), MAX_ESCAPED);
        }
        HostMessage::Agent { known_hosts, git_keys } => {
            assert!(known_hosts.len() <= MAX_AGENT_HOSTS && git_keys.len() <= MAX_AGENT_HOSTS);
            // Each becomes one line of a file, or a part of an option of git.
            known_hosts.iter().for_each(|line| assert_shown(line.as_str(), usize::MAX));
            for git_key in git_keys {
                let text = git_key.repository.to_string();
                let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~/:".contains(&byte);
                assert!(text.bytes().all(is_safe) && !text.starts_with('-'), "{text:?}");
                let is_part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']);
                assert!(git_key.repository.path().split('/').all(is_part), "{text:?}");
            }
        }
        HostMessage::Identities { identities, .. } => assert!(identities.len() <= MAX_IDENTITIES),
        HostMessage::Offers { origins, .. } => {
            assert!(origins.len() <= MAX_ORIGINS);
            origins.iter().for_each(assert_origin);
        }
        HostMessage::Origins { origins } => {
            assert!(origins.len() <= MAX_ORIGINS);
            origins.iter().for_each(|ruled| assert_origin(&ruled.origin));
        }
        _ => {}
    }
}

pub(crate) fn host_message_seeds() -> Vec<Vec<u8>> {
    [
        HostMessage::Welcome { agents: vec!["default".parse().unwrap()] },
        HostMessage::Waiting,
        HostMessage::Length { request: 3, length: 70_000 },
        HostMessage::Chunk { request: 3, bytes: b"abc" },
        HostMessage::Refused {
            request: 4,
            reason: RefusalReason::SourceFailed,
            detail: Untrusted::new("exit status 1\n\u{1b}[31m"),
        },
        HostMessage::Offers {
            keys: parsed(&["a", "b/c"]),
            agents: vec![],
            origins: vec!["npm.example:443".parse().unwrap()],
        },
        HostMessage::Origins {
            origins: ["git.example:8443", "[2001:db8::1]:443"]
                .map(|origin| RuledOrigin { origin: origin.parse().unwrap(), plain: true })
                .to_vec(),
        },
        HostMessage::Ending,
        HostMessage::Agent {
            known_hosts: vec!["git.example ssh-ed25519 AAAA".parse().unwrap()],
            git_keys: vec![GitKey { repository: "git.example:2222/a/b".parse().unwrap(), key: vec![1, 2] }],
        },
        HostMessage::Identities {
            fixed: true,
            identities: vec![Identity { key: vec![3], comment: b"deploy".to_vec() }],
        },
        HostMessage::Answer {
            channel: 7,
            answer: vec![5].into(),
            refusal: Untrusted::new("host is not allowed"),
        },
    ]
    .map(|message| message.encode())
    .to_vec()
}

/// An origin becomes part of certificates, environment variables and messages.
fn assert_origin(origin: &Origin) {
    assert_shown(&origin.to_string(), MAX_HOST + 8);
    let is_safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:".contains(&byte);
    assert!(origin.host().bytes().all(is_safe) && !origin.host().starts_with('-'), "{origin}");
    assert_eq!(origin.to_string().parse().as_ref(), Ok(origin));
}

/// A message from a client on a stream, as a bridge reads it.
pub fn stream_request(data: &[u8]) {
    match StreamRequest::decode(data) {
        Ok(message) => {
            assert_eq!(message.encode(), data);
            assert!(data.len() <= MAX_STREAM_FRAME, "a message over the limit of a frame");
            match message {
                StreamRequest::Connect { origin } => assert_origin(&origin),
                StreamRequest::Bytes { bytes } => assert!((1..=STREAM_CHUNK).contains(&bytes.len())),
            }
        }
        Err(error) => assert_shown(&error.to_string(), MAX_ERROR),
    }
}

pub(crate) fn stream_request_seeds() -> Vec<Vec<u8>> {
    vec![
        StreamRequest::Connect { origin: "npm.example:443".parse().unwrap() }.encode(),
        StreamRequest::Connect { origin: "[::1]:1".parse().unwrap() }.encode(),
        StreamRequest::Bytes { bytes: b"GET / HTTP/1.1\r\nHost: npm.example\r\n\r\n" }.encode(),
    ]
}

/// A message from a bridge on a stream, as a client reads it.
pub fn stream_answer(data: &[u8]) {
    let message = match StreamAnswer::decode(data) {
        Ok(message) => message,
        Err(error) => return assert_shown(&error.to_string(), MAX_ERROR),
    };
    assert_eq!(message.encode(), data);
    assert!(data.len() <= MAX_STREAM_FRAME, "a message over the limit of a frame");
    match message {
        StreamAnswer::Bytes { bytes } => assert!((1..=STREAM_CHUNK).contains(&bytes.len())),
        StreamAnswer::Refusal { text } => assert_shown(&text.to_string(), MAX_ESCAPED),
        StreamAnswer::SignedUrl { url } => assert!((1..=MAX_SIGNED_URL).contains(&url.len())),
        StreamAnswer::Idle { .. } | StreamAnswer::Finished => {}
    }
}

pub(crate) fn stream_answer_seeds() -> Vec<Vec<u8>> {
    [
        StreamAnswer::Bytes { bytes: b"HTTP/1.1 200 OK\r\n" },
        StreamAnswer::Idle { received: 70_000 },
        StreamAnswer::Finished,
        StreamAnswer::Refusal { text: Untrusted::new("method POST is not permitted\n\u{1b}[31m") },
        StreamAnswer::SignedUrl { url: b"https://store.example/a?sig=1" },
    ]
    .map(|message| message.encode())
    .to_vec()
}

/// An agent's list of keys, as a bridge reads it from the agent of the host, and a client from the bridge.
pub fn identities(data: &[u8]) {
    if let Ok(identities) = read_identities(data) {
        assert_eq!(identities_answer(&identities), data);
    }
}

pub(crate) fn identities_seeds() -> Vec<Vec<u8>> {
    let identity = |key: &[u8]| Identity { key: key.to_vec(), comment: b"deploy".to_vec() };
    vec![identities_answer(&[]), identities_answer(&[identity(b"one"), identity(b"two")])]
}
