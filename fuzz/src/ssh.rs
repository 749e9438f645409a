//! The formats of SSH, each within the request that brings it to `ConnectionState::decide`.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::agent::{Identity, KnownHost, Reader, SESSION_BIND, Writer, number};
use ssh_policy::{
    AgentPolicy, AllowedHosts, Claims, ConnectionState, KnownHosts, Permitted, Refused, Verdict,
};

use crate::checks::{MAX_ERROR, MAX_ESCAPED, assert_shown};

const USERAUTH_REQUEST: u8 = 50;
const SSHSIG: &[u8] = b"SSHSIG";

/// 2026: certificates without an end are valid.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_305_600)
}

/// An Ed25519 key that is the same in every run.
pub(crate) struct TestKey(Ed25519KeyPair);

impl TestKey {
    /// The numbers are below 16. Each key is generated once.
    pub(crate) fn number(number: u8) -> &'static Self {
        static KEYS: [OnceLock<TestKey>; 16] = [const { OnceLock::new() }; 16];
        KEYS[usize::from(number)]
            .get_or_init(|| Self(Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()))
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(b"ssh-ed25519").string(self.0.public_key().as_ref());
        writer.finish()
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity { key: self.public(), comment: b"deploy\x1b[31m".to_vec() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(b"ssh-ed25519").string(self.0.sign(message).as_ref());
        writer.finish()
    }

    /// A line of a known_hosts file.
    pub(crate) fn line(&self, names: &str) -> String {
        format!("{names} ssh-ed25519 {}\n", STANDARD.encode(self.public()))
    }

    /// A host certificate by itself.
    fn certificate(&self) -> Vec<u8> {
        let mut principals = Writer::inner();
        principals.string(b"git.example");
        let mut writer = Writer::inner();
        writer
            .string(b"ssh-ed25519-cert-v01@openssh.com")
            .string(&[9; 32])
            .string(self.0.public_key().as_ref())
            .bytes(&[0; 8])
            .u32(2)
            .string(b"a host")
            .string(&principals.finish())
            .bytes(&0u64.to_be_bytes())
            .bytes(&u64::MAX.to_be_bytes())
            .string(b"")
            .string(b"")
            .string(b"")
            .string(&self.public());
        let signed = writer.finish();
        let mut writer = Writer::inner();
        writer.bytes(&signed).string(&self.sign(&signed));
        writer.finish()
    }
}

/// The data that a client signs to log in.
pub(crate) fn login(session: &[u8], user: &str, key: &[u8], host_key: Option<&[u8]>) -> Vec<u8> {
    let method: &[u8] = match host_key {
        Some(_) => b"publickey-hostbound-v00@openssh.com",
        None => b"publickey",
    };
    let mut writer = Writer::inner();
    writer.string(session).u8(USERAUTH_REQUEST).string(user.as_bytes()).string(b"ssh-connection");
    writer.string(method).bool(true).string(b"ssh-ed25519").string(key);
    if let Some(host_key) = host_key {
        writer.string(host_key);
    }
    writer.finish()
}

pub(crate) fn sign_request(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    let mut writer = Writer::new(number::SIGN_REQUEST);
    writer.string(key).string(data).u32(flags);
    writer.finish()
}

pub(crate) fn bind(host_key: &[u8], session: &[u8], signature: &[u8], forwarding: bool) -> Vec<u8> {
    let mut writer = Writer::new(number::EXTENSION);
    writer.string(SESSION_BIND).string(host_key).string(session).string(signature).bool(forwarding);
    writer.finish()
}

/// What data that may be signed says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signed<'a> {
    Login { session: &'a [u8], user: &'a str, host_key: Option<&'a [u8]> },
    SshSig { namespace: &'a str },
}

/// A second reading of data that may be signed: RFC 4252, section 7, and OpenSSH's `PROTOCOL` and `PROTOCOL.sshsig`.
pub(crate) fn read_signed(data: &[u8]) -> Option<Signed<'_>> {
    if let Some(rest) = data.strip_prefix(SSHSIG) {
        let mut reader = Reader::new(rest);
        let namespace = str::from_utf8(reader.string().ok()?).ok()?;
        let (reserved, hash, digest) = (reader.string().ok()?, reader.string().ok()?, reader.string().ok()?);
        let fits = matches!((hash, digest.len()), (b"sha256", 32) | (b"sha512", 64));
        return (fits && reserved.is_empty() && reader.rest().is_empty())
            .then_some(Signed::SshSig { namespace });
    }
    let mut reader = Reader::new(data);
    let session = reader.string().ok().filter(|id| matches!(id.len(), 32 | 48 | 64))?;
    (reader.u8().ok()? == USERAUTH_REQUEST).then_some(())?;
    let user = str::from_utf8(reader.string().ok()?).ok()?;
    (reader.string().ok()? == b"ssh-connection").then_some(())?;
    let method = reader.string().ok()?;
    reader.bool().ok().filter(|signed| *signed)?;
    let (_algorithm, _key) = (reader.string().ok()?, reader.string().ok()?);
    let host_key = match method {
        b"publickey" => None,
        b"publickey-hostbound-v00@openssh.com" => Some(reader.string().ok()?),
        _ => return None,
    };
    reader.rest().is_empty().then_some(Signed::Login { session, user, host_key })
}

/// Whatever the verdict is, its texts can be shown.
pub(crate) fn check_texts(verdict: &Verdict<'_>) {
    match verdict {
        Verdict::Sign(Permitted { fingerprint, user, host, namespace, .. }) => {
            assert_shown(fingerprint, MAX_ESCAPED);
            [user, host, namespace].into_iter().flatten().for_each(|text| assert_shown(text, MAX_ESCAPED));
        }
        Verdict::RefuseBind(refused) | Verdict::UnknownKey { refused, .. } | Verdict::Refuse(refused) => {
            let Refused { refusal, host, claimed } = refused;
            let Claims { fingerprint, comment, user, namespace } = claimed;
            assert_shown(&refusal.to_string(), MAX_ERROR);
            let texts = [host, fingerprint, comment, user, namespace];
            texts.into_iter().flatten().for_each(|text| assert_shown(text, MAX_ESCAPED));
        }
        Verdict::List | Verdict::AcceptBind { .. } => {}
    }
}

/// A permitted signature is of the data that was asked for, by the key that was asked for.
pub(crate) fn check_permitted<'a>(permitted: &Permitted, key: &[u8], data: &'a [u8]) -> Signed<'a> {
    assert_eq!((permitted.key.key.as_slice(), permitted.data.as_slice()), (key, data));
    assert_eq!(permitted.upstream, sign_request(key, data, permitted.flags));
    let signed = read_signed(data).expect("data is signed that is neither a login nor an SSHSIG");
    match &signed {
        Signed::Login { user, .. } => {
            assert!(!user.is_empty() && !user.contains(char::is_control));
            assert_eq!(permitted.user.as_deref(), Some(proto::escape(user).as_str()));
            assert_eq!(permitted.namespace, None);
        }
        Signed::SshSig { namespace } => {
            assert_eq!(permitted.namespace.as_deref(), Some(proto::escape(namespace).as_str()));
            assert_eq!((&permitted.user, &permitted.host), (&None, &None));
        }
    }
    signed
}

/// The verdict of the policy that allows most on signing `data` with a key that is offered.
fn sign(data: &[u8]) -> Option<Signed<'_>> {
    let key = TestKey::number(1);
    let policy = AgentPolicy { sshsig_namespaces: vec!["git".to_owned()], ..AgentPolicy::default() };
    let message = sign_request(&key.public(), data, 0);
    let verdict = ConnectionState::default().decide(&policy, &[key.identity()], &message, now());
    check_texts(&verdict);
    match &verdict {
        Verdict::Sign(permitted) => Some(check_permitted(permitted, &key.public(), data)),
        _ => None,
    }
}

/// The data of a login.
pub fn userauth(data: &[u8]) {
    if data.starts_with(SSHSIG) {
        return;
    }
    let signed = sign(data);
    assert!(!matches!(signed, Some(Signed::SshSig { .. })));
}

pub(crate) fn userauth_seeds() -> Vec<Vec<u8>> {
    let (key, host) = (TestKey::number(1).public(), TestKey::number(2));
    vec![
        login(&[1; 32], "git", &key, None),
        login(&[1; 48], "git", &key, Some(&host.public())),
        login(&[1; 64], "root", &key, Some(&host.certificate())),
    ]
}

/// An SSHSIG, without its magic.
pub fn sshsig(data: &[u8]) {
    let data = [SSHSIG, data].concat();
    let signed = sign(&data);
    assert!(matches!(signed, None | Some(Signed::SshSig { namespace: "git" })), "{signed:?}");
}

pub(crate) fn sshsig_seeds() -> Vec<Vec<u8>> {
    [("git", "sha256", 32), ("git", "sha512", 64), ("file", "sha512", 64)]
        .map(|(namespace, hash, length)| {
            let mut writer = Writer::inner();
            writer.string(namespace.as_bytes()).string(b"").string(hash.as_bytes()).string(&vec![1; length]);
            writer.finish()
        })
        .to_vec()
}

/// A session-bind, without the name of the extension.
pub fn session_bind(data: &[u8]) {
    let mut writer = Writer::new(number::EXTENSION);
    writer.string(SESSION_BIND).bytes(data);
    let message = writer.finish();
    let mut state = ConnectionState::default();
    let verdict = state.decide(&AgentPolicy::default(), &[], &message, now());
    check_texts(&verdict);
    match &verdict {
        Verdict::AcceptBind { upstream } => {
            assert_eq!(*upstream, message);
            let mut reader = Reader::new(data);
            let session = reader.string().and_then(|_| reader.string()).unwrap();
            assert!(matches!(session.len(), 32 | 48 | 64));
        }
        Verdict::RefuseBind(_) => {}
        _ => panic!("a bind is decided as another request: {verdict:?}"),
    }
    // Whatever it was, it makes no difference to what may be listed, and a refused bind ends all signatures.
    let refused = matches!(verdict, Verdict::RefuseBind(_));
    let key = TestKey::number(1);
    let request = sign_request(&key.public(), &login(&[3; 32], "git", &key.public(), None), 0);
    let after = state.decide(&AgentPolicy::default(), &[key.identity()], &request, now());
    assert!(!(refused && matches!(after, Verdict::Sign(_))), "a signature after a refused bind");
}

pub(crate) fn session_bind_seeds() -> Vec<Vec<u8>> {
    let host = TestKey::number(2);
    let bind = |host_key: &[u8], session: &[u8], forwarding| {
        let message = bind(host_key, session, &host.sign(session), forwarding);
        message[1 + 4 + SESSION_BIND.len()..].to_vec()
    };
    vec![
        bind(&host.public(), &[1; 32], false),
        bind(&host.certificate(), &[1; 64], false),
        bind(&host.public(), &[1; 48], true),
        bind(&TestKey::number(3).public(), &[1; 32], false),
    ]
}

/// A public key or certificate, as an agent offers it, and as a bind carries it.
pub fn certificate(data: &[u8]) {
    let offered = Identity { key: data.to_vec(), comment: Vec::new() };
    let policy = AgentPolicy { sshsig_namespaces: vec!["git".to_owned()], ..AgentPolicy::default() };
    let mut signature = Writer::inner();
    signature.bytes(SSHSIG).string(b"git").string(b"").string(b"sha256").string(&[1; 32]);
    let to_sign = signature.finish();
    for flags in [0, 2, 4] {
        let message = sign_request(data, &to_sign, flags);
        let verdict =
            ConnectionState::default().decide(&policy, std::slice::from_ref(&offered), &message, now());
        check_texts(&verdict);
        if let Verdict::Sign(permitted) = &verdict {
            assert!(policy.offers(&offered));
            check_permitted(permitted, data, &to_sign);
        }
    }
    let message = bind(data, &[1; 32], &TestKey::number(2).sign(&[1; 32]), false);
    let verdict = ConnectionState::default().decide(&policy, &[], &message, now());
    check_texts(&verdict);
    // Only the key that signed is accepted: alone, or in a certificate.
    let key = TestKey::number(2).public();
    let raw_key = &key[key.len() - 32..];
    let has_key = data.windows(32).any(|window| window == raw_key);
    assert!(has_key || !matches!(verdict, Verdict::AcceptBind { .. }));
}

pub(crate) fn certificate_seeds() -> Vec<Vec<u8>> {
    let key = TestKey::number(2);
    let blob = |line: &str| STANDARD.decode(line.split_whitespace().nth(1).unwrap()).unwrap();
    let mut p256 = Writer::inner();
    p256.string(b"ecdsa-sha2-nistp256").string(b"nistp256").string(&[&[4][..], &[7; 64]].concat());
    let mut sk = Writer::inner();
    sk.string(b"sk-ssh-ed25519@openssh.com").string(&[7; 32]).string(b"ssh:");
    let mut rsa = Writer::inner();
    rsa.string(b"ssh-rsa").string(&[1, 0, 1]).string(&[&[0, 0xc1][..], &[0x35; 255]].concat());
    vec![
        key.public(),
        key.certificate(),
        blob(include_str!("../../ssh-policy/src/testdata/host-cert.pub")),
        blob(include_str!("../../ssh-policy/src/testdata/authority.pub")),
        p256.finish(),
        sk.finish(),
        rsa.finish(),
    ]
}

/// A known_hosts file of the host.
pub fn known_hosts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut known = KnownHosts::default();
    if let Err(error) = known.add(&text) {
        assert!((1..=text.lines().count()).contains(&error.line));
        return assert_shown(&error.to_string(), MAX_ERROR);
    }
    let key = TestKey::number(2).public();
    if let Some(name) = known.name_of(&key) {
        assert!(text.to_ascii_lowercase().contains(&name), "a name that is not in the file: {name:?}");
    }
    for spec in ["git.example", "git.example:2222"] {
        let Ok(hosts) = AllowedHosts::resolve(&[spec.parse().unwrap()], &known) else { continue };
        for line in hosts.known_hosts_lines() {
            assert!(line.parse::<KnownHost>().is_ok(), "{line:?} cannot be sent to a client");
        }
        // A host is allowed by a key that is in the file.
        let policy = AgentPolicy { hosts: Some(hosts), ..AgentPolicy::default() };
        let message = bind(&key, &[1; 32], &TestKey::number(2).sign(&[1; 32]), false);
        let verdict = ConnectionState::default().decide(&policy, &[], &message, now());
        check_texts(&verdict);
        let in_file =
            text.split_ascii_whitespace().any(|word| STANDARD.decode(word).is_ok_and(|blob| blob == key));
        assert!(in_file || !matches!(verdict, Verdict::AcceptBind { .. }));
    }
}

pub(crate) fn known_hosts_seeds() -> Vec<Vec<u8>> {
    let (host, other) = (TestKey::number(2), TestKey::number(3));
    let all = [
        "# a comment\n\n".to_owned(),
        host.line("git.example,192.0.2.1"),
        host.line("[git.example]:2222"),
        other.line("*.example,!git.example"),
        format!("@cert-authority {}", other.line("*.example")),
        format!("@revoked {}", other.line("*")),
        include_str!("../../ssh-policy/src/testdata/hashed_known_hosts").to_owned(),
        "git.example ssh-dss AAAA comment\n".to_owned(),
    ];
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|line| line.clone().into_bytes()).collect();
    seeds.push(all.concat().into_bytes());
    seeds
}
