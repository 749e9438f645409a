//! The requests of one connection to an agent, in any order.

use std::sync::LazyLock;

use proto::agent::{Identity, Writer, number};
use ssh_policy::{AgentPolicy, AllowedHosts, ConnectionState, HostProof, KnownHosts, Verdict};

use crate::checks::{Input, sized};
use crate::ssh::{
    Signed, TestKey, bind, check_permitted, check_texts, login, now, read_signed, sign_request,
};

const USERS: [&str; 3] = ["git", "root", "git:x"];
/// Allowed, allowed, not allowed.
const HOSTS: [u8; 3] = [10, 11, 12];
/// Offered, not offered.
const KEYS: [u8; 2] = [1, 2];

/// Begins with a byte for the policy. Each step is a byte, and what the step needs: a request of a client that follows
/// the protocol, with valid signatures, or any message.
pub fn agent_requests(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.byte();
    static POLICIES: LazyLock<Vec<AgentPolicy>> = LazyLock::new(|| (0..64).map(policy).collect());
    let policy = &POLICIES[usize::from(options & 63)];
    let offered = [TestKey::number(KEYS[0]).identity()];
    let mut state = ConnectionState::default();
    let mut seen = Seen::default();
    // A bind costs a signature; OpenSSH sends a handful.
    for _ in 0..40 {
        if input.is_empty() {
            return;
        }
        let message = message(&mut input);
        let verdict = state.decide(policy, &offered, &message, now());
        check_texts(&verdict);
        seen.check(policy, &offered, &message, &verdict);
    }
}

fn policy(options: u8) -> AgentPolicy {
    let mut known = KnownHosts::default();
    let lines = [(HOSTS[0], "git.example"), (HOSTS[1], "[other.example]:2222"), (HOSTS[2], "evil.example")];
    known.add(&lines.map(|(number, name)| TestKey::number(number).line(name)).concat()).unwrap();
    let specs = ["git.example", "other.example:2222"].map(|spec| spec.parse().unwrap());
    let has = |bit: u8| options >> bit & 1 == 1;
    AgentPolicy {
        hosts: has(0).then(|| AllowedHosts::resolve(&specs, &known).unwrap()),
        host_proof: match options >> 1 & 3 {
            0 | 3 => HostProof::Bind,
            1 => HostProof::BindOrHostbound,
            _ => HostProof::Both,
        },
        users: if has(3) { vec!["git".to_owned()] } else { vec![] },
        forwarding: has(4),
        sshsig_namespaces: if has(5) { vec!["git".to_owned()] } else { vec![] },
        keys: vec![],
    }
}

/// The message of one step.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() % 6 {
        0 => input.sized().to_vec(),
        1 => {
            let host = host(input);
            let session = session(input);
            bind(&host.public(), &session, &host.sign(&session), input.byte() & 1 == 1)
        }
        2 => {
            // With the signature of another session, or of another host.
            let (host, signer, session, signed) = (host(input), host(input), session(input), session(input));
            bind(&host.public(), &session, &signer.sign(&signed), input.byte() & 1 == 1)
        }
        3 => {
            let key = TestKey::number(KEYS[usize::from(input.byte() & 1)]);
            let in_login = TestKey::number(KEYS[usize::from(input.byte() & 1)]);
            let host_key = if input.byte() & 1 == 1 { Some(host(input).public()) } else { None };
            let user = USERS[usize::from(input.byte()) % USERS.len()];
            let data = login(&session(input), user, &in_login.public(), host_key.as_deref());
            sign_request(&key.public(), &data, 0)
        }
        4 => {
            let key = TestKey::number(KEYS[usize::from(input.byte() & 1)]);
            sign_request(&key.public(), input.sized(), input.byte().into())
        }
        _ => {
            let namespace: &[u8] = if input.byte() & 1 == 1 { b"git" } else { b"file" };
            let mut writer = Writer::inner();
            writer.bytes(b"SSHSIG").string(namespace).string(b"").string(b"sha256").string(&[5; 32]);
            sign_request(&TestKey::number(KEYS[0]).public(), &writer.finish(), 0)
        }
    }
}

fn host(input: &mut Input<'_>) -> &'static TestKey {
    TestKey::number(HOSTS[usize::from(input.byte()) % HOSTS.len()])
}

fn session(input: &mut Input<'_>) -> Vec<u8> {
    let byte = input.byte();
    vec![byte & 3; if byte & 4 == 0 { 32 } else { 64 }]
}

/// What was accepted on the connection so far.
#[derive(Default)]
struct Seen {
    /// Host key, session id and forwarding of each accepted bind.
    binds: Vec<(Vec<u8>, Vec<u8>, bool)>,
    refused_a_bind: bool,
}

impl Seen {
    fn check(&mut self, policy: &AgentPolicy, offered: &[Identity], message: &[u8], verdict: &Verdict<'_>) {
        match verdict {
            Verdict::List => assert_eq!(message, [number::REQUEST_IDENTITIES]),
            Verdict::RefuseBind(_) => self.refused_a_bind = true,
            Verdict::AcceptBind { upstream } => {
                assert_eq!(upstream, message);
                let mut reader = proto::agent::Reader::new(&message[1..]);
                let mut string = || reader.string().unwrap().to_vec();
                let (_, host_key, session, _) = (string(), string(), string(), string());
                let bind = (host_key, session, reader.bool().unwrap());
                if self.binds.last() != Some(&bind) {
                    self.binds.push(bind);
                }
                assert!(self.binds.len() <= proto::limits::MAX_BINDS);
            }
            Verdict::Sign(permitted) => {
                assert!(!self.refused_a_bind, "a signature after a refused bind");
                assert!(offered.contains(&permitted.key));
                let mut reader = proto::agent::Reader::new(&message[1..]);
                let (key, data) = (reader.string().unwrap(), reader.string().unwrap());
                let signed = check_permitted(permitted, key, data);
                self.check_signed(policy, &signed);
                assert_eq!(read_signed(&permitted.data), Some(signed));
            }
            Verdict::UnknownKey { .. } => {
                assert!(!offered.iter().any(|identity| message[5..].starts_with(&identity.key)));
            }
            Verdict::Refuse(_) => {}
        }
    }

    fn check_signed(&self, policy: &AgentPolicy, signed: &Signed<'_>) {
        let forwarded = self.binds.iter().any(|(_, _, forwarding)| *forwarding);
        let (session, user, host_key) = match signed {
            Signed::SshSig { namespace } => {
                assert!(!forwarded, "an SSHSIG for a forwarded agent");
                return assert!(policy.sshsig_namespaces.iter().any(|allowed| allowed == namespace));
            }
            Signed::Login { session, user, host_key } => (*session, *user, *host_key),
        };
        assert!(policy.users.is_empty() || policy.users.iter().any(|allowed| allowed == user), "user {user}");
        assert!(policy.forwarding || !forwarded, "a login through a forwarded agent");
        if policy.hosts.is_none() {
            return;
        }
        let is_allowed =
            |key: &[u8]| HOSTS[..2].iter().any(|number| TestKey::number(*number).public() == key);
        let bound = self.binds.last().is_some_and(|(host, id, forwarding)| {
            !forwarding && id == session && is_allowed(host) && host_key.is_none_or(|key| key == host)
        });
        let hostbound = host_key.is_some_and(is_allowed);
        let proven = match policy.host_proof {
            HostProof::Bind => bound,
            // The client that logs in has sent no bind: what was bound are hops on the way to it.
            HostProof::BindOrHostbound => {
                bound || (hostbound && self.binds.last().is_none_or(|(_, _, forwarding)| *forwarding))
            }
            HostProof::Both => bound && hostbound,
        };
        assert!(proven, "a login to a host that is not proven");
        assert!(!forwarded || hostbound, "a forwarded login that does not name its host");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let list = [&[0][..], &sized(&[number::REQUEST_IDENTITIES])].concat();
    let bind = |host: u8, session: u8, forwarding: u8| vec![1, host, session, forwarding];
    let login = |user: u8, session: u8| vec![3, 0, 0, 0, user, session];
    let hostbound = |host: u8, session: u8| vec![3, 0, 0, 1, host, 0, session];
    let raw = |message: Vec<u8>| [vec![0], sized(&message)].concat();
    let add = raw(vec![number::ADD_IDENTITY, 0, 0, 0, 1, 7]);
    let mut seeds = Vec::new();
    for options in [0, 1, 1 | 1 << 1, 1 | 2 << 1, 1 | 1 << 3, 1 | 1 << 4, 0x3f] {
        for steps in [
            vec![list.clone(), login(0, 1), login(1, 1), login(2, 1), vec![5, 1], vec![5, 0]],
            vec![bind(0, 1, 0), list.clone(), login(0, 1), login(0, 2)],
            vec![bind(0, 1, 0), hostbound(0, 1), hostbound(1, 1)],
            vec![bind(0, 1, 1), bind(1, 5, 0), hostbound(1, 5), login(0, 5)],
            vec![bind(2, 1, 0), login(0, 1)],
            vec![vec![2, 0, 1, 1, 1, 0], login(0, 1)],
            vec![hostbound(0, 1), hostbound(2, 1)],
            vec![add.clone(), raw(vec![]), login(0, 1)],
        ] {
            seeds.push([vec![options], steps.concat()].concat());
        }
    }
    seeds
}
