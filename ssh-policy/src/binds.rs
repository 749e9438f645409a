//! The hosts to which a connection is bound, and what they prove about a login.
//!
//! A client that logs in opens a connection to the agent, binds it to its session, and asks for a signature. A client
//! that forwards its agent opens a connection for each use by the remote host, binds it to the session over which the
//! agent is forwarded, and then passes on what the remote host sends: usually the bind of the next client, and its login.
//! So the binds of a connection are a path: hops, then a login. OpenSSH's agent accepts no bind after that of a login; this
//! one accepts the bind of another login, because some clients keep the connection, but never that of a hop.
//!
//! Whether a bind is for forwarding is not signed: only the client says so. That is enough to restrict a hop, because all
//! that comes from the hop passes through that client, which has sent its own bind first.

use std::time::SystemTime;

use proto::limits::MAX_BINDS;

use crate::policy::{AgentPolicy, HostProof};
use crate::refusal::Refusal;
use crate::session_bind::ProvenBind;
use crate::userauth::Login;

/// The binds of one connection.
#[derive(Debug, Default)]
pub(crate) struct Binds {
    bound: Vec<Bound>,
    /// The refusal of a bind. Afterwards nothing is signed on this connection: OpenSSH goes on without the bind, so the
    /// refusal that a user sees must be that of the signature.
    poisoned: Option<Refusal>,
}

#[derive(Debug)]
struct Bound {
    host_key: Vec<u8>,
    session: Vec<u8>,
    is_forwarding: bool,
    /// The name if the policy restricts hosts, else the fingerprint of the key. Safe to show.
    host: String,
}

impl Binds {
    /// Verifies a bind, and checks it against the policy and earlier binds. Returns the message for the host's agent.
    pub(crate) fn accept(
        &mut self,
        policy: &AgentPolicy,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<Vec<u8>, Refusal> {
        self.poisoned()?;
        match self.check(policy, payload, now) {
            Ok((bound, message)) => {
                if let Some(bound) = bound {
                    self.bound.push(bound);
                }
                Ok(message)
            }
            Err(refusal) => {
                self.poisoned = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    /// The refusal of an earlier bind, if there is one.
    pub(crate) fn poisoned(&self) -> Result<(), Refusal> {
        self.poisoned.clone().map_or(Ok(()), Err)
    }

    /// The host of the last bind.
    pub(crate) fn host(&self) -> Option<&str> {
        self.bound.last().map(|bound| &bound.host[..])
    }

    /// Whether the requests come from a host to which the agent was forwarded.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.bound.iter().any(|bound| bound.is_forwarding)
    }

    /// The bind, unless it repeats the last one, and the message for the host's agent.
    fn check(
        &self,
        policy: &AgentPolicy,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<(Option<Bound>, Vec<u8>), Refusal> {
        // Checked first, because verifying the signature is expensive.
        if self.bound.len() >= MAX_BINDS {
            return Err(Refusal::TooManyBinds);
        }
        let bind = ProvenBind::prove(payload)?;
        let host = match &policy.hosts {
            Some(hosts) => hosts.host_of(&bind.host_key, now)?.to_string(),
            None => bind.host_key.fingerprint().to_string(),
        };
        if bind.is_forwarding && !policy.forwarding {
            return Err(Refusal::Forwarded(host));
        }
        let bound = Bound {
            host_key: bind.host_key.encode(),
            session: bind.session.0.to_vec(),
            is_forwarding: bind.is_forwarding,
            host,
        };
        let contradicts = |earlier: &Bound| earlier.session == bound.session && !earlier.is_same_as(&bound);
        if self.bound.iter().any(contradicts) {
            return Err(Refusal::BindContradicts);
        }
        if self.bound.last().is_some_and(|last| last.is_same_as(&bound)) {
            return Ok((None, bind.message()));
        }
        if bound.is_forwarding && self.bound.iter().any(|earlier| !earlier.is_forwarding) {
            return Err(Refusal::BindOrder);
        }
        Ok((Some(bound), bind.message()))
    }

    /// The host to which a login goes; `None` if the policy does not restrict hosts and nothing proves one. As in OpenSSH's
    /// agent for keys that are restricted to hosts, the login must be in the session bound last, to the host bound. After a
    /// hop the host must be in the signed data: an attacker who controls the hop could vouch for any session with its
    /// own key.
    pub(crate) fn prove_host(
        &self,
        policy: &AgentPolicy,
        login: &Login<'_>,
        now: SystemTime,
    ) -> Result<Option<String>, Refusal> {
        let bound = self.bound.last().filter(|last| !last.is_forwarding);
        if let Some(bound) = bound {
            if login.session.0 != bound.session {
                return Err(Refusal::OtherSession);
            }
            if login.host_key.as_ref().is_some_and(|key| key.encode() != bound.host_key) {
                return Err(Refusal::OtherHost);
            }
        }
        if self.is_forwarded() && login.host_key.is_none() {
            return Err(Refusal::NoHostboundForwarded);
        }
        let Some(hosts) = &policy.hosts else {
            let signed = || login.host_key.as_ref().map(|key| key.fingerprint().to_string());
            return Ok(bound.map(|bound| bound.host.clone()).or_else(signed));
        };
        match (policy.host_proof, bound, &login.host_key) {
            (HostProof::Bind | HostProof::BindOrHostbound, Some(bound), _)
            | (HostProof::Both, Some(bound), Some(_)) => Ok(Some(bound.host.clone())),
            (HostProof::BindOrHostbound, None, Some(key)) => Ok(Some(hosts.host_of(key, now)?.to_string())),
            (HostProof::Both, Some(_), None) => Err(Refusal::NoHostbound),
            (HostProof::Bind | HostProof::Both, None, _) | (HostProof::BindOrHostbound, None, None) => {
                Err(Refusal::NoBind)
            }
        }
    }
}

impl Bound {
    fn is_same_as(&self, other: &Self) -> bool {
        self.session == other.session
            && self.host_key == other.host_key
            && self.is_forwarding == other.is_forwarding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::public_key::PublicKey;
    use crate::known_hosts::known;
    use crate::request::Request;
    use crate::testing::{HostCertificate, TestKey, bind, bound, login};
    use crate::{AllowedHosts, NotAllowed};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const ONE: [u8; 32] = [1; 32];
    const TWO: [u8; 32] = [2; 32];

    /// Two hosts that are allowed, one that is known, and one that is not.
    struct Scene {
        a: TestKey,
        b: TestKey,
        evil: TestKey,
        stranger: TestKey,
        key: TestKey,
        policy: AgentPolicy,
        binds: Binds,
    }

    impl Scene {
        fn new() -> Self {
            let [a, b, evil, stranger, key] = std::array::from_fn(|_| TestKey::ed25519());
            let text = a.line("a.example") + &b.line("b.example") + &evil.line("evil.example");
            let specs = ["a.example", "b.example"].map(|spec| spec.parse().unwrap());
            let hosts = AllowedHosts::resolve(&specs, &known(&text)).unwrap();
            let policy = AgentPolicy { hosts: Some(hosts), ..AgentPolicy::default() };
            Self { a, b, evil, stranger, key, policy, binds: Binds::default() }
        }

        fn proof(mut self, host_proof: HostProof) -> Self {
            self.policy.host_proof = host_proof;
            self
        }

        fn forwarding(mut self) -> Self {
            self.policy.forwarding = true;
            self
        }

        fn any_host(mut self) -> Self {
            self.policy.hosts = None;
            self
        }

        fn send(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
            let Ok(Request::Bind(payload)) = Request::parse(message) else { panic!("no bind") };
            self.binds.accept(&self.policy, payload, NOW)
        }

        fn bind(
            &mut self,
            host: impl Fn(&Self) -> &TestKey,
            session: [u8; 32],
            is_forwarding: bool,
        ) -> Result<(), Refusal> {
            let message = bound(host(self), &session, is_forwarding);
            self.send(&message).map(|upstream| assert_eq!(upstream, message))
        }

        fn login(&self, session: [u8; 32], host: Option<&TestKey>) -> Result<Option<String>, Refusal> {
            let host_key = host.map(TestKey::public);
            let data = login(&session, "git", &self.key, host_key.as_deref());
            self.binds.poisoned()?;
            self.binds.prove_host(&self.policy, &Login::parse(&data).unwrap(), NOW)
        }
    }

    fn at(host: &str) -> Result<Option<String>, Refusal> {
        Ok(Some(host.to_owned()))
    }

    #[test]
    fn a_login_goes_to_the_host_of_its_bind() {
        let mut scene = Scene::new();
        assert_eq!(scene.login(ONE, None), Err(Refusal::NoBind));
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        assert_eq!(scene.login(ONE, None), at("a.example"));
        assert_eq!(scene.login(ONE, Some(&scene.a)), at("a.example"));
        assert_eq!(scene.login(ONE, Some(&scene.b)), Err(Refusal::OtherHost));
        assert_eq!(scene.login(TWO, None), Err(Refusal::OtherSession));
    }

    #[test]
    fn only_the_last_session_is_bound() {
        let mut scene = Scene::new();
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        scene.bind(|scene| &scene.b, TWO, false).unwrap();
        assert_eq!(scene.login(ONE, None), Err(Refusal::OtherSession));
        assert_eq!(scene.login(TWO, None), at("b.example"));
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        assert_eq!(scene.login(ONE, None), at("a.example"));
    }

    #[test]
    fn after_a_refused_bind_the_connection_signs_nothing() {
        type Send = fn(&mut Scene) -> Result<Vec<u8>, Refusal>;
        let sends: [(&str, Send); 5] = [
            ("host evil.example is not allowed", |scene| scene.send(&bound(&scene.evil, &ONE, false))),
            ("host key SHA256:", |scene| scene.send(&bound(&scene.stranger, &ONE, false))),
            ("not signed by the host", |scene| {
                let replayed = bind(&scene.a.public(), &ONE, &scene.a.sign(&TWO), false);
                scene.send(&replayed)
            }),
            ("invalid session-bind", |scene| scene.send(&[&bound(&scene.a, &ONE, false)[..], &[0]].concat())),
            ("the agent was forwarded to a.example", |scene| scene.send(&bound(&scene.a, &ONE, true))),
        ];
        for (text, send) in sends {
            let mut scene = Scene::new();
            scene.bind(|scene| &scene.a, ONE, false).unwrap();
            let refusal = send(&mut scene).unwrap_err();
            assert!(refusal.to_string().contains(text), "{refusal}");
            assert_eq!(scene.bind(|scene| &scene.a, ONE, false), Err(refusal.clone()));
            assert_eq!(scene.login(ONE, None), Err(refusal));
        }
    }

    #[test]
    fn a_session_has_one_host_and_one_purpose() {
        let mut scene = Scene::new().forwarding();
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        assert_eq!(scene.binds.bound.len(), 1);
        // Host B holds its own key, and may sign what it likes; the session is still A's.
        assert_eq!(scene.bind(|scene| &scene.b, ONE, false), Err(Refusal::BindContradicts));
        let mut scene = Scene::new().forwarding();
        scene.bind(|scene| &scene.a, ONE, true).unwrap();
        assert_eq!(scene.bind(|scene| &scene.a, ONE, false), Err(Refusal::BindContradicts));
    }

    #[test]
    fn the_number_of_binds_is_limited() {
        let mut scene = Scene::new();
        for session in 0..MAX_BINDS as u8 {
            scene.bind(|scene| &scene.a, [session; 32], false).unwrap();
        }
        assert_eq!(scene.bind(|scene| &scene.a, [99; 32], false), Err(Refusal::TooManyBinds));
        assert_eq!(scene.login([MAX_BINDS as u8 - 1; 32], None), Err(Refusal::TooManyBinds));
    }

    #[test]
    fn after_a_hop_the_host_must_be_in_the_signed_data() {
        let mut scene = Scene::new().forwarding();
        scene.bind(|scene| &scene.a, ONE, true).unwrap();
        assert_eq!(scene.login(ONE, None), Err(Refusal::NoHostboundForwarded));
        assert_eq!(scene.login(ONE, Some(&scene.a)), Err(Refusal::NoBind)); // that session is the hop's own
        scene.bind(|scene| &scene.b, TWO, false).unwrap();
        assert_eq!(scene.login(TWO, None), Err(Refusal::NoHostboundForwarded));
        assert_eq!(scene.login(TWO, Some(&scene.a)), Err(Refusal::OtherHost));
        assert_eq!(scene.login(TWO, Some(&scene.b)), at("b.example"));
        assert_eq!(scene.bind(|scene| &scene.a, [3; 32], true), Err(Refusal::BindOrder));
    }

    #[test]
    fn a_hop_follows_hops_and_no_login() {
        let mut scene = Scene::new().forwarding();
        scene.bind(|scene| &scene.a, ONE, true).unwrap();
        scene.bind(|scene| &scene.b, TWO, true).unwrap();
        scene.bind(|scene| &scene.a, [3; 32], false).unwrap();
        assert_eq!(scene.login([3; 32], Some(&scene.a)), at("a.example"));
        let mut scene = Scene::new().forwarding();
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        assert_eq!(scene.bind(|scene| &scene.b, TWO, true), Err(Refusal::BindOrder));
    }

    #[test]
    fn a_hop_must_be_an_allowed_host() {
        let mut scene = Scene::new().forwarding();
        let refusal = Refusal::Host(NotAllowed::Host("evil.example".into()));
        assert_eq!(scene.bind(|scene| &scene.evil, ONE, true), Err(refusal));
    }

    #[test]
    fn a_hostbound_login_can_replace_a_bind() {
        let mut scene = Scene::new().proof(HostProof::BindOrHostbound);
        assert_eq!(scene.login(ONE, None), Err(Refusal::NoBind));
        assert_eq!(scene.login(ONE, Some(&scene.a)), at("a.example"));
        let refusal = Refusal::Host(NotAllowed::Host("evil.example".into()));
        assert_eq!(scene.login(ONE, Some(&scene.evil)), Err(refusal));
        scene.bind(|scene| &scene.b, TWO, false).unwrap();
        assert_eq!(scene.login(ONE, Some(&scene.a)), Err(Refusal::OtherSession));
        assert_eq!(scene.login(TWO, Some(&scene.a)), Err(Refusal::OtherHost));
        assert_eq!(scene.login(TWO, None), at("b.example"));
    }

    #[test]
    fn both_proofs_can_be_demanded() {
        let mut scene = Scene::new().proof(HostProof::Both);
        assert_eq!(scene.login(ONE, Some(&scene.a)), Err(Refusal::NoBind));
        scene.bind(|scene| &scene.a, ONE, false).unwrap();
        assert_eq!(scene.login(ONE, None), Err(Refusal::NoHostbound));
        assert_eq!(scene.login(ONE, Some(&scene.b)), Err(Refusal::OtherHost));
        assert_eq!(scene.login(ONE, Some(&scene.a)), at("a.example"));
    }

    #[test]
    fn a_bind_holds_without_restricted_hosts() {
        let mut scene = Scene::new().any_host();
        assert_eq!(scene.login(ONE, None), Ok(None));
        scene.bind(|scene| &scene.stranger, ONE, false).unwrap();
        let fingerprint = PublicKey::parse(&scene.stranger.public()).unwrap().fingerprint().to_string();
        assert_eq!(scene.login(ONE, None), at(&fingerprint));
        assert_eq!(scene.login(TWO, None), Err(Refusal::OtherSession));
        let forwarded = scene.bind(|scene| &scene.a, TWO, true).unwrap_err();
        assert_eq!(forwarded.word(), "forwarded");
    }

    #[test]
    fn a_host_may_have_a_certificate() {
        let (host, authority) = (TestKey::ed25519(), TestKey::p256());
        let text = format!("@cert-authority {}", authority.line("*.example"));
        let mut scene = Scene::new();
        let hosts = AllowedHosts::resolve(&["git.example".parse().unwrap()], &known(&text)).unwrap();
        scene.policy.hosts = Some(hosts);
        let certificate = HostCertificate::of(&host).signed_by(&authority);
        scene.send(&bind(&certificate, &ONE, &host.sign(&ONE), false)).unwrap();
        assert_eq!(scene.login(ONE, None), at("git.example"));
        // The login must name the key that was bound, byte by byte.
        assert_eq!(scene.login(ONE, Some(&host)), Err(Refusal::OtherHost));
    }
}
