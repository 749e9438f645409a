//! Verdicts on whole requests, and on random ones.

use proptest::prelude::*;
use proto::limits::MAX_BINDS;

use super::*;
use crate::AllowedHosts;
use crate::known_hosts::known;
use crate::testing::{
    HostCertificate, TestKey, bind, bound, login, login_as, sign_request, sign_request_with,
};

const SESSION: [u8; 32] = [1; 32];

fn identity(key: Vec<u8>) -> Identity {
    Identity { key, comment: b"deploy \x1b[2J\xff".to_vec() }
}

fn decide_on<'a>(
    connection: &mut ConnectionState,
    policy: &AgentPolicy,
    offered: &[Identity],
    request: &'a [u8],
) -> Verdict<'a> {
    connection.decide(policy, offered, request, SystemTime::UNIX_EPOCH)
}

/// On a new connection.
fn decide(policy: &AgentPolicy, offered: &[Identity], request: &[u8]) -> Result<Permitted, Box<Refused>> {
    decide_on(&mut ConnectionState::default(), policy, offered, request).into()
}

impl From<Verdict<'_>> for Result<Permitted, Box<Refused>> {
    fn from(verdict: Verdict<'_>) -> Self {
        match verdict {
            Verdict::Sign(permitted) => Ok(permitted),
            Verdict::Refuse(refused) | Verdict::RefuseBind(refused) | Verdict::UnknownKey { refused, .. } => {
                Err(Box::new(refused))
            }
            Verdict::List | Verdict::AcceptBind { .. } => panic!("{verdict:?}"),
        }
    }
}

fn refused(result: impl Into<Result<Permitted, Box<Refused>>>) -> Refused {
    *result.into().unwrap_err()
}

fn permitted(result: impl Into<Result<Permitted, Box<Refused>>>) -> Permitted {
    result.into().unwrap()
}

fn policy_for(host: &TestKey) -> AgentPolicy {
    let hosts = AllowedHosts::resolve(&["git.example".parse().unwrap()], &known(&host.line("git.example")));
    AgentPolicy { hosts: hosts.ok(), users: vec!["git".into()], ..AgentPolicy::default() }
}

#[test]
fn a_bound_login_is_permitted_and_encoded_anew() {
    for key in TestKey::one_of_each_kind() {
        let host = TestKey::ed25519();
        let policy = policy_for(&host);
        let offered = [identity(key.public())];
        let mut connection = ConnectionState::default();
        assert_eq!(decide_on(&mut connection, &policy, &offered, &[11]), Verdict::List);
        let bind = bound(&host, &SESSION, false);
        let verdict = decide_on(&mut connection, &policy, &offered, &bind);
        assert_eq!(verdict, Verdict::AcceptBind { upstream: bind.clone() });
        let data = login(&SESSION, "git", &key, Some(&host.public()));
        let request = sign_request(&key, &data);
        let permitted = permitted(decide_on(&mut connection, &policy, &offered, &request));
        assert_eq!((permitted.upstream, permitted.data, &permitted.key), (request, data, &offered[0]));
        assert_eq!(
            (permitted.user.as_deref(), permitted.host.as_deref()),
            (Some("git"), Some("git.example"))
        );
        assert_eq!(permitted.namespace, None);
    }
}

#[test]
fn a_refusal_has_claims_and_the_proven_host() {
    let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
    let policy = policy_for(&host);
    let offered = [identity(key.public())];
    let mut connection = ConnectionState::default();
    decide_on(&mut connection, &policy, &offered, &bound(&host, &SESSION, false));
    let request = sign_request(&key, &login(&SESSION, "ro\u{202e}ot", &key, None));
    let refused = refused(decide_on(&mut connection, &policy, &offered, &request));
    assert_eq!(refused.refusal.to_string(), "user ro\\u{202e}ot is not allowed");
    assert_eq!(refused.host.as_deref(), Some("git.example"));
    assert_eq!(refused.claimed.user.as_deref(), Some("ro\\u{202e}ot"));
    assert_eq!(refused.claimed.comment.as_deref(), Some("deploy \\u{1b}[2J\u{fffd}"));
    assert!(refused.claimed.fingerprint.unwrap().starts_with("SHA256:"));
}

#[test]
fn users_are_compared_byte_by_byte() {
    let key = TestKey::ed25519();
    let policy = AgentPolicy { users: vec!["git".into()], ..AgentPolicy::default() };
    let verdict = |user| {
        let request = sign_request(&key, &login(&SESSION, user, &key, None));
        decide(&policy, &[identity(key.public())], &request)
    };
    permitted(verdict("git"));
    for user in ["git:x", "Git", "git ", "root", "gi"] {
        assert_eq!(refused(verdict(user)).refusal, Refusal::User(user.into()));
    }
    assert_eq!(refused(verdict("git\n")).refusal, Refusal::UserName);
}

#[test]
fn the_signing_key_is_offered_and_is_that_of_the_login() {
    let (key, other) = (TestKey::ed25519(), TestKey::ed25519());
    let policy = AgentPolicy { keys: vec!["deploy".parse().unwrap()], ..AgentPolicy::default() };
    let chosen = Identity { key: key.public(), comment: b"deploy".to_vec() };
    let unchosen = Identity { key: other.public(), comment: b"private".to_vec() };
    let offered = [chosen, unchosen];
    let own = |key| sign_request(key, &login(&SESSION, "git", key, None));
    permitted(decide(&policy, &offered, &own(&key)));
    assert_eq!(refused(decide(&policy, &offered, &own(&other))).refusal, Refusal::KeyNotOffered);
    assert_eq!(refused(decide(&policy, &[], &own(&key))).refusal, Refusal::KeyNotOffered);
    let mixed = sign_request(&key, &login(&SESSION, "git", &other, None));
    assert_eq!(refused(decide(&policy, &offered, &mixed)).refusal, Refusal::OtherKey);
}

#[test]
fn an_unknown_key_is_decided_again_with_the_new_keys() {
    let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
    let policy = policy_for(&host);
    let mut connection = ConnectionState::default();
    let bind = bound(&host, &SESSION, false);
    assert!(matches!(decide_on(&mut connection, &policy, &[], &bind), Verdict::AcceptBind { .. }));
    let request = sign_request(&key, &login(&SESSION, "git", &key, None));
    let verdict = decide_on(&mut connection, &policy, &[], &request);
    let Verdict::UnknownKey { sign, refused } = verdict else { panic!("{verdict:?}") };
    assert_eq!((refused.refusal, refused.claimed.user.as_deref()), (Refusal::KeyNotOffered, Some("git")));
    let now = SystemTime::UNIX_EPOCH;
    let again = connection.decide_sign(&policy, &[], sign.clone(), now);
    assert!(matches!(again, Verdict::UnknownKey { .. }));
    let again = connection.decide_sign(&policy, &[identity(key.public())], sign, now);
    assert_eq!(permitted(again).host.as_deref(), Some("git.example"));
}

#[test]
fn a_key_that_cannot_be_parsed_is_refused_at_once() {
    let data = login(&SESSION, "git", &TestKey::ed25519(), None);
    let request = sign_request_with(b"key", &data, 0);
    let mut connection = ConnectionState::default();
    let offered = [identity(b"key".to_vec())];
    let verdict = decide_on(&mut connection, &AgentPolicy::default(), &offered, &request);
    assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    assert_eq!(refused(verdict).refusal, Refusal::KeyNotOffered);
}

#[test]
fn a_key_signs_for_its_own_certificates() {
    let (key, authority, other) = (TestKey::ed25519(), TestKey::p256(), TestKey::ed25519());
    let policy = AgentPolicy::default();
    let offered = [identity(key.public())];
    let certificate = |key| HostCertificate { kind: 1, ..HostCertificate::of(key) }.signed_by(&authority);
    let login_with = |certificate: &[u8], algorithm| {
        sign_request(&key, &login_as(&SESSION, "git", algorithm, certificate, None))
    };
    let name = "ssh-ed25519-cert-v01@openssh.com";
    permitted(decide(&policy, &offered, &login_with(&certificate(&key), name)));
    let plain = refused(decide(&policy, &offered, &login_with(&certificate(&key), "ssh-ed25519")));
    assert_eq!(plain.refusal, Refusal::Algorithm);
    let foreign = refused(decide(&policy, &offered, &login_with(&certificate(&other), name)));
    assert_eq!(foreign.refusal, Refusal::OtherKey);
}

#[test]
fn the_algorithm_must_match_key_and_flags() {
    let (rsa, ed25519, policy) = (TestKey::rsa(), TestKey::ed25519(), AgentPolicy::default());
    let certificate = HostCertificate { kind: 1, ..HostCertificate::of(&rsa) }.signed_by(&ed25519);
    let offered = [rsa.public(), ed25519.public(), certificate.clone()].map(identity);
    for (key, algorithm, flags, refusal) in [
        (rsa.public(), "rsa-sha2-512", 4, None),
        (rsa.public(), "rsa-sha2-256", 2, None),
        (rsa.public(), "rsa-sha2-256", 4, Some(Refusal::Algorithm)),
        (rsa.public(), "ssh-rsa", 2, Some(Refusal::Algorithm)),
        (rsa.public(), "ssh-rsa", 0, Some(Refusal::Sha1)),
        (rsa.public(), "rsa-sha2-256", 0, Some(Refusal::Sha1)),
        (certificate.clone(), "rsa-sha2-512-cert-v01@openssh.com", 4, None),
        (certificate, "rsa-sha2-512", 4, Some(Refusal::Algorithm)),
        (ed25519.public(), "ssh-ed25519", 0, None),
        (ed25519.public(), "ssh-ed25519", 2, Some(Refusal::Algorithm)),
        (ed25519.public(), "rsa-sha2-512", 0, Some(Refusal::Algorithm)),
    ] {
        let data = login_as(&SESSION, "git", algorithm, &key, None);
        let verdict = decide(&policy, &offered, &sign_request_with(&key, &data, flags));
        match refusal {
            Some(refusal) => assert_eq!(refused(verdict).refusal, refusal),
            None => assert_eq!(permitted(verdict).flags, flags),
        }
    }
}

#[test]
fn an_sshsig_needs_an_allowed_namespace() {
    let key = TestKey::ed25519();
    let policy = AgentPolicy { sshsig_namespaces: vec!["git".into()], ..AgentPolicy::default() };
    let offered = [identity(key.public())];
    let verdict = |data: &[u8]| decide(&policy, &offered, &sign_request(&key, data));
    let sshsig = |namespace: &str| {
        let mut data = Writer::inner();
        data.bytes(b"SSHSIG").string(namespace.as_bytes()).string(b"").string(b"sha512").string(&[1; 64]);
        data.finish()
    };
    let signed = permitted(verdict(&sshsig("git")));
    assert_eq!((signed.namespace.as_deref(), signed.user, signed.data), (Some("git"), None, sshsig("git")));
    let refusal = refused(verdict(&sshsig("file"))).refusal;
    assert_eq!(refusal.to_string(), "SSHSIG namespace file is not allowed (--ssh-allow-sshsig)");
    let longer = [&sshsig("git")[..], &[0]].concat();
    assert_eq!(refused(verdict(&longer)).refusal, Refusal::NotAnSshSig);
    for data in [&b""[..], b"challenge", &[0; 64]] {
        assert_eq!(refused(verdict(data)).refusal, Refusal::NotALogin);
    }
}

#[test]
fn no_sshsig_after_a_refused_bind_or_forwarding() {
    let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
    let namespaces = vec!["git".into()];
    let policy = AgentPolicy { forwarding: true, sshsig_namespaces: namespaces, ..AgentPolicy::default() };
    let offered = [identity(key.public())];
    let mut data = Writer::inner();
    data.bytes(b"SSHSIG").string(b"git").string(b"").string(b"sha256").string(&[1; 32]);
    let request = sign_request(&key, &data.finish());
    let mut connection = ConnectionState::default();
    decide_on(&mut connection, &policy, &offered, &bound(&host, &SESSION, true));
    let refusal = refused(decide_on(&mut connection, &policy, &offered, &request)).refusal;
    assert_eq!(refusal, Refusal::ForwardedSshSig);
    let mut connection = ConnectionState::default();
    let forged = bind(&host.public(), &SESSION, &key.sign(&SESSION), false);
    assert_eq!(refused(decide_on(&mut connection, &policy, &offered, &forged)).refusal, Refusal::BindForged);
    let refusal = refused(decide_on(&mut connection, &policy, &offered, &request)).refusal;
    assert_eq!(refusal, Refusal::BindForged);
    assert_eq!(decide_on(&mut connection, &policy, &offered, &[11]), Verdict::List);
}

#[test]
fn every_other_request_is_refused_without_effect() {
    let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
    let policy = policy_for(&host);
    let offered = [identity(key.public())];
    let mut connection = ConnectionState::default();
    decide_on(&mut connection, &policy, &offered, &bound(&host, &SESSION, false));
    for kind in (0..=u8::MAX).filter(|kind| *kind != 11) {
        for request in [vec![kind], vec![kind, 0, 0, 0, 1, b'x']] {
            let refused = refused(decide_on(&mut connection, &policy, &offered, &request));
            let expected = match kind {
                13 => "malformed",
                27 if request.len() == 1 => "malformed",
                7..=9 | 17..=26 => "changes-agent",
                _ => "not-passed-on",
            };
            assert_eq!(refused.refusal.word(), expected, "{kind}");
        }
    }
    let refusal = refused(decide(&policy, &offered, &[19])).refusal;
    assert_eq!(refusal.to_string(), "the request would change the agent (remove all keys)");
    permitted(decide_on(
        &mut connection,
        &policy,
        &offered,
        &sign_request(&key, &login(&SESSION, "git", &key, None)),
    ));
}

proptest! {
    #[test]
    fn no_input_panics(requests in prop::collection::vec(any::<Vec<u8>>(), 0..2 * MAX_BINDS)) {
        let mut connection = ConnectionState::default();
        for request in requests {
            decide_on(&mut connection, &AgentPolicy::default(), &[], &request);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_passed_on_unchanged(at: prop::sample::Index, byte: u8) {
        let key = TestKey::ed25519();
        let mut request = sign_request(&key, &login(&SESSION, "git", &key, None));
        let at = at.index(request.len());
        request[at] = byte;
        let mut connection = ConnectionState::default();
        let offered = [identity(key.public())];
        match decide_on(&mut connection, &AgentPolicy::default(), &offered, &request) {
            Verdict::Sign(permitted) => prop_assert_eq!(permitted.upstream, request),
            Verdict::List => prop_assert_eq!(at, 0),
            Verdict::AcceptBind { .. } => prop_assert!(false),
            Verdict::RefuseBind(_) | Verdict::Refuse(_) | Verdict::UnknownKey { .. } => {}
        }
    }
}
