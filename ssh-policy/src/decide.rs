//! One client's connection to an agent, and the verdict on each of its requests: a closed table.

use std::time::SystemTime;

use proto::agent::{Identity, Writer, number};
use proto::escape;

use crate::binds::Binds;
use crate::key::algorithm::{SignAlgorithm, WrongFlags};
use crate::key::public_key::PublicKey;
use crate::policy::AgentPolicy;
use crate::refusal::Refusal;
use crate::request::{Request, SignRequest};
use crate::sshsig::SshSig;
use crate::userauth::{Login, NotALogin};
use crate::verdict::{Claims, Permitted, Refused, Verdict};

/// What is remembered of one connection: its binds.
#[derive(Debug, Default)]
pub struct Connection {
    binds: Binds,
}

/// What a client wants signed.
enum Data<'a> {
    Login(Login<'a>),
    SshSig(SshSig<'a>),
}

impl Connection {
    /// The verdict on a request. `offered` are all keys of the agent behind the bridge: the policy chooses among them.
    pub fn judge(
        &mut self,
        policy: &AgentPolicy,
        offered: &[Identity],
        request: &[u8],
        now: SystemTime,
    ) -> Verdict {
        let mut claimed = Claims::default();
        let verdict = match Request::parse(request) {
            Err(_) => Err(Refusal::Malformed),
            Ok(Request::List) => Ok(Verdict::List),
            Ok(Request::Bind(payload)) => {
                self.binds.accept(policy, payload, now).map(|upstream| Verdict::Bind { upstream })
            }
            Ok(Request::Sign(sign)) => {
                self.judge_sign(policy, offered, sign, now, &mut claimed).map(Verdict::Sign)
            }
            Ok(Request::Change(change)) => Err(Refusal::ChangesAgent(change)),
            Ok(Request::Other(other)) => Err(other.into()),
        };
        verdict.unwrap_or_else(|refusal| {
            Verdict::Refuse(Refused { refusal, host: self.binds.host().map(str::to_owned), claimed })
        })
    }

    fn judge_sign(
        &self,
        policy: &AgentPolicy,
        offered: &[Identity],
        sign: SignRequest<'_>,
        now: SystemTime,
        claimed: &mut Claims,
    ) -> Result<Permitted, Refusal> {
        // First what can be said about the request, so that the audit has it whatever is refused.
        let key = PublicKey::parse(sign.key).ok();
        let identity = offered.iter().find(|identity| identity.key == sign.key && policy.offers(identity));
        let data = Data::parse(sign.data);
        claimed.fingerprint = key.as_ref().map(|key| key.fingerprint().to_string());
        claimed.comment = identity.map(|identity| escape(&String::from_utf8_lossy(&identity.comment)));
        match &data {
            Ok(Data::Login(login)) => claimed.user = Some(escape(login.user)),
            Ok(Data::SshSig(signature)) => claimed.namespace = Some(escape(signature.namespace)),
            Err(_) => {}
        }

        self.binds.poisoned()?;
        let (Some(key), Some(identity)) = (key, identity) else { return Err(Refusal::KeyNotOffered) };
        let algorithm = SignAlgorithm::of(&key, sign.flags)?;
        let (data, host) = match data? {
            Data::Login(login) => {
                let named = named_key(&login, &key).ok_or(Refusal::OtherKey)?;
                if login.algorithm != algorithm.name(&named).as_bytes() {
                    return Err(Refusal::Algorithm);
                }
                let host = self.binds.prove_host(policy, &login, now)?;
                if !policy.allows_user(login.user) {
                    return Err(Refusal::User(login.user.to_owned()));
                }
                (login.encode(), host)
            }
            Data::SshSig(signature) => {
                if self.binds.is_forwarded() {
                    return Err(Refusal::ForwardedSshSig);
                }
                if !policy.allows_namespace(signature.namespace) {
                    return Err(Refusal::Namespace(signature.namespace.to_owned()));
                }
                (signature.encode(), None)
            }
        };
        let mut upstream = Writer::new(number::SIGN_REQUEST);
        upstream.string(&key.encode()).string(&data).u32(algorithm.flags());
        Ok(Permitted {
            upstream: upstream.finish(),
            data,
            flags: algorithm.flags(),
            key: identity.clone(),
            fingerprint: key.fingerprint().to_string(),
            user: claimed.user.clone(),
            host,
            namespace: claimed.namespace.clone(),
        })
    }
}

/// The key that `login` names, if it is `key` or a certificate around it: with a certificate beside a key that an agent
/// has without, ssh asks the agent for the key.
fn named_key<'a>(login: &Login<'a>, key: &PublicKey<'_>) -> Option<PublicKey<'a>> {
    let named = PublicKey::parse(login.key).ok()?;
    (named == *key || key.certificate.is_none() && named.plain == key.plain).then_some(named)
}

impl<'a> Data<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, Refusal> {
        if SshSig::is_meant(data) {
            return SshSig::parse(data).map(Self::SshSig).map_err(|_| Refusal::NotAnSshSig);
        }
        match Login::parse(data) {
            Ok(login) => Ok(Self::Login(login)),
            Err(NotALogin::Malformed) => Err(Refusal::NotALogin),
            Err(NotALogin::UserName) => Err(Refusal::UserName),
        }
    }
}

impl From<WrongFlags> for Refusal {
    fn from(wrong: WrongFlags) -> Self {
        match wrong {
            WrongFlags::Sha1 => Self::Sha1,
            WrongFlags::Misfit => Self::Algorithm,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::agent::MAX_BINDS;

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

    fn ask(
        connection: &mut Connection,
        policy: &AgentPolicy,
        offered: &[Identity],
        request: &[u8],
    ) -> Verdict {
        connection.judge(policy, offered, request, SystemTime::UNIX_EPOCH)
    }

    /// On a new connection, without any hosts to prove.
    fn judge(policy: &AgentPolicy, offered: &[Identity], request: &[u8]) -> Verdict {
        ask(&mut Connection::default(), policy, offered, request)
    }

    fn refused(verdict: Verdict) -> Refused {
        let Verdict::Refuse(refused) = verdict else { panic!("{verdict:?}") };
        refused
    }

    fn permitted(verdict: Verdict) -> Permitted {
        let Verdict::Sign(permitted) = verdict else { panic!("{verdict:?}") };
        permitted
    }

    fn policy_for(host: &TestKey) -> AgentPolicy {
        let hosts =
            AllowedHosts::resolve(&["git.example".parse().unwrap()], &known(&host.line("git.example")));
        AgentPolicy { hosts: hosts.ok(), users: vec!["git".into()], ..AgentPolicy::default() }
    }

    #[test]
    fn a_bound_login_is_signed_and_written_anew() {
        for key in TestKey::one_of_each_kind() {
            let host = TestKey::ed25519();
            let policy = policy_for(&host);
            let offered = [identity(key.public())];
            let mut connection = Connection::default();
            assert_eq!(ask(&mut connection, &policy, &offered, &[11]), Verdict::List);
            let upstream = bound(&host, &SESSION, false);
            let verdict = ask(&mut connection, &policy, &offered, &upstream);
            assert_eq!(verdict, Verdict::Bind { upstream });
            let data = login(&SESSION, "git", &key, Some(&host.public()));
            let request = sign_request(&key, &data);
            let permitted = permitted(ask(&mut connection, &policy, &offered, &request));
            assert_eq!((permitted.upstream, permitted.data, &permitted.key), (request, data, &offered[0]));
            assert_eq!(
                (permitted.user.as_deref(), permitted.host.as_deref()),
                (Some("git"), Some("git.example"))
            );
            assert_eq!(permitted.namespace, None);
        }
    }

    #[test]
    fn a_refusal_says_what_the_client_said_and_what_is_proven() {
        let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
        let policy = policy_for(&host);
        let offered = [identity(key.public())];
        let mut connection = Connection::default();
        ask(&mut connection, &policy, &offered, &bound(&host, &SESSION, false));
        let request = sign_request(&key, &login(&SESSION, "ro\u{202e}ot", &key, None));
        let refused = refused(ask(&mut connection, &policy, &offered, &request));
        assert_eq!(refused.refusal.to_string(), "user ro\\u{202e}ot is not allowed");
        assert_eq!(refused.host.as_deref(), Some("git.example"));
        assert_eq!(refused.claimed.user.as_deref(), Some("ro\\u{202e}ot"));
        assert_eq!(refused.claimed.comment.as_deref(), Some("deploy \\u{1b}[2J\u{fffd}"));
        assert!(refused.claimed.fingerprint.unwrap().starts_with("SHA256:"));
    }

    #[test]
    fn users_are_compared_to_the_letter() {
        let key = TestKey::ed25519();
        let policy = AgentPolicy { users: vec!["git".into()], ..AgentPolicy::default() };
        let verdict = |user| {
            judge(&policy, &[identity(key.public())], &sign_request(&key, &login(&SESSION, user, &key, None)))
        };
        permitted(verdict("git"));
        for user in ["git:x", "Git", "git ", "root", "gi"] {
            assert_eq!(refused(verdict(user)).refusal, Refusal::User(user.into()));
        }
        assert_eq!(refused(verdict("git\n")).refusal, Refusal::UserName);
    }

    #[test]
    fn the_key_that_signs_is_offered_and_is_the_one_in_the_login() {
        let (key, other) = (TestKey::ed25519(), TestKey::ed25519());
        let policy = AgentPolicy { keys: vec!["deploy".parse().unwrap()], ..AgentPolicy::default() };
        let chosen = Identity { key: key.public(), comment: b"deploy".to_vec() };
        let unchosen = Identity { key: other.public(), comment: b"private".to_vec() };
        let offered = [chosen, unchosen];
        let own = |key| sign_request(key, &login(&SESSION, "git", key, None));
        permitted(judge(&policy, &offered, &own(&key)));
        assert_eq!(refused(judge(&policy, &offered, &own(&other))).refusal, Refusal::KeyNotOffered);
        assert_eq!(refused(judge(&policy, &[], &own(&key))).refusal, Refusal::KeyNotOffered);
        let mixed = sign_request(&key, &login(&SESSION, "git", &other, None));
        assert_eq!(refused(judge(&policy, &offered, &mixed)).refusal, Refusal::OtherKey);
    }

    #[test]
    fn a_key_signs_for_a_certificate_around_it_and_for_no_other() {
        let (key, authority, other) = (TestKey::ed25519(), TestKey::p256(), TestKey::ed25519());
        let policy = AgentPolicy::default();
        let offered = [identity(key.public())];
        let certificate = |key| HostCertificate { kind: 1, ..HostCertificate::of(key) }.signed_by(&authority);
        let login_with = |certificate: &[u8], algorithm| {
            sign_request(&key, &login_as(&SESSION, "git", algorithm, certificate, None))
        };
        let name = "ssh-ed25519-cert-v01@openssh.com";
        permitted(judge(&policy, &offered, &login_with(&certificate(&key), name)));
        let plain = refused(judge(&policy, &offered, &login_with(&certificate(&key), "ssh-ed25519")));
        assert_eq!(plain.refusal, Refusal::Algorithm);
        let foreign = refused(judge(&policy, &offered, &login_with(&certificate(&other), name)));
        assert_eq!(foreign.refusal, Refusal::OtherKey);
    }

    #[test]
    fn the_algorithm_is_that_of_key_and_flags() {
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
            let verdict = judge(&policy, &offered, &sign_request_with(&key, &data, flags));
            match refusal {
                Some(refusal) => assert_eq!(refused(verdict).refusal, refusal),
                None => assert_eq!(permitted(verdict).flags, flags),
            }
        }
    }

    #[test]
    fn what_is_no_login_is_signed_for_namespaces_allowed_by_name_alone() {
        let key = TestKey::ed25519();
        let policy = AgentPolicy { sshsig_namespaces: vec!["git".into()], ..AgentPolicy::default() };
        let offered = [identity(key.public())];
        let verdict = |data: &[u8]| judge(&policy, &offered, &sign_request(&key, data));
        let sshsig = |namespace: &str| {
            let mut data = Writer::inner();
            data.bytes(b"SSHSIG").string(namespace.as_bytes()).string(b"").string(b"sha512").string(&[1; 64]);
            data.finish()
        };
        let signed = permitted(verdict(&sshsig("git")));
        assert_eq!(
            (signed.namespace.as_deref(), signed.user, signed.data),
            (Some("git"), None, sshsig("git"))
        );
        let refusal = refused(verdict(&sshsig("file"))).refusal;
        assert_eq!(refusal.to_string(), "SSHSIG namespace file is not allowed (--ssh-allow-sshsig)");
        let longer = [&sshsig("git")[..], &[0]].concat();
        assert_eq!(refused(verdict(&longer)).refusal, Refusal::NotAnSshSig);
        for data in [&b""[..], b"challenge", &[0; 64]] {
            assert_eq!(refused(verdict(data)).refusal, Refusal::NotALogin);
        }
    }

    #[test]
    fn a_connection_that_is_poisoned_or_forwarded_signs_no_files() {
        let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
        let namespaces = vec!["git".into()];
        let policy =
            AgentPolicy { forwarding: true, sshsig_namespaces: namespaces, ..AgentPolicy::default() };
        let offered = [identity(key.public())];
        let mut data = Writer::inner();
        data.bytes(b"SSHSIG").string(b"git").string(b"").string(b"sha256").string(&[1; 32]);
        let request = sign_request(&key, &data.finish());
        let mut connection = Connection::default();
        ask(&mut connection, &policy, &offered, &bound(&host, &SESSION, true));
        let refusal = refused(ask(&mut connection, &policy, &offered, &request)).refusal;
        assert_eq!(refusal, Refusal::ForwardedSshSig);
        let mut connection = Connection::default();
        let forged = bind(&host.public(), &SESSION, &key.sign(&SESSION), false);
        assert_eq!(refused(ask(&mut connection, &policy, &offered, &forged)).refusal, Refusal::BindForged);
        let refusal = refused(ask(&mut connection, &policy, &offered, &request)).refusal;
        assert_eq!(refusal, Refusal::BindForged);
        assert_eq!(ask(&mut connection, &policy, &offered, &[11]), Verdict::List);
    }

    #[test]
    fn every_other_request_is_refused_and_changes_nothing() {
        let (host, key) = (TestKey::ed25519(), TestKey::ed25519());
        let policy = policy_for(&host);
        let offered = [identity(key.public())];
        let mut connection = Connection::default();
        ask(&mut connection, &policy, &offered, &bound(&host, &SESSION, false));
        for kind in (0..=u8::MAX).filter(|kind| *kind != 11) {
            for request in [vec![kind], vec![kind, 0, 0, 0, 1, b'x']] {
                let refused = refused(ask(&mut connection, &policy, &offered, &request));
                let expected = match kind {
                    13 => "malformed",
                    27 if request.len() == 1 => "malformed",
                    7..=9 | 17..=26 => "changes-agent",
                    _ => "not-passed-on",
                };
                assert_eq!(refused.refusal.word(), expected, "{kind}");
            }
        }
        let refusal = refused(judge(&policy, &offered, &[19])).refusal;
        assert_eq!(refusal.to_string(), "the request would change the agent (remove all keys)");
        permitted(ask(
            &mut connection,
            &policy,
            &offered,
            &sign_request(&key, &login(&SESSION, "git", &key, None)),
        ));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(requests in prop::collection::vec(any::<Vec<u8>>(), 0..2 * MAX_BINDS)) {
            let mut connection = Connection::default();
            for request in requests {
                ask(&mut connection, &AgentPolicy::default(), &[], &request);
            }
        }

        #[test]
        fn a_changed_byte_is_refused_or_written_as_it_came(at: prop::sample::Index, byte: u8) {
            let key = TestKey::ed25519();
            let mut request = sign_request(&key, &login(&SESSION, "git", &key, None));
            let at = at.index(request.len());
            request[at] = byte;
            match judge(&AgentPolicy::default(), &[identity(key.public())], &request) {
                Verdict::Sign(permitted) => prop_assert_eq!(permitted.upstream, request),
                Verdict::List => prop_assert_eq!(at, 0),
                Verdict::Bind { .. } => prop_assert!(false),
                Verdict::Refuse(_) => {}
            }
        }
    }
}
