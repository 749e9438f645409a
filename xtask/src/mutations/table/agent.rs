//! Promise 5, in the policy of SSH agents.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 5,
        name: "login-session",
        what: "a login is signed for another session than the bound one",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "if login.session.0 != bound.session {",
            replace: "if false && login.session.0 != bound.session {",
        }],
        tests: &["agent::policy::a_login_is_signed_for_the_session_that_its_host_signed"],
    },
    Mutation {
        promise: 5,
        name: "login-host",
        what: "a login may name another host than the bound one",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "if login.host_key.as_ref().is_some_and(|key| key.encode() != bound.host_key) {",
            replace: "if login.host_key.as_ref().is_some_and(|key| key.encode().len() < 4) {",
        }],
        tests: &["agent::policy::a_login_is_signed_for_the_session_that_its_host_signed"],
    },
    Mutation {
        promise: 5,
        name: "login-user",
        what: "a login may be as any user",
        edits: &[Edit {
            file: "ssh-policy/src/policy.rs",
            find: "self.users.is_empty() || self",
            replace: "true || self.users.is_empty() || self",
        }],
        tests: &["agent::policy::a_login_is_signed_for_the_session_that_its_host_signed"],
    },
    Mutation {
        promise: 5,
        name: "login-key",
        what: "the key in a login need not be the one that signs",
        edits: &[Edit {
            file: "ssh-policy/src/decide.rs",
            find: "(login_key == *key || key.certificate.is_none() && login_key.plain == key.plain).then_some(login_key)",
            replace: "(login_key == *key || true).then_some(login_key)",
        }],
        tests: &["agent::policy::only_logins_with_the_signing_key_are_signed"],
    },
    Mutation {
        promise: 5,
        name: "login-data",
        what: "bytes may follow a login",
        edits: &[Edit {
            file: "ssh-policy/src/userauth.rs",
            find: "        reader.finish()?;",
            replace: "        let _ = reader.finish();",
        }],
        tests: &["agent::policy::only_logins_with_the_signing_key_are_signed"],
    },
    Mutation {
        promise: 5,
        name: "allowed-hosts",
        what: "a bind may be of any host",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "Some(hosts) => hosts.host_of(&bind.host_key, now)?.to_string(),",
            replace: "Some(hosts) => hosts.host_of(&bind.host_key, now).map_or_else(|_| \"any\".to_owned(), |host| host.to_string()),",
        }],
        tests: &["agent::policy::an_invalid_bind_disables_only_its_connection"],
    },
    Mutation {
        promise: 5,
        name: "bind-signature",
        what: "the signature of a bind is not verified",
        edits: &[Edit {
            file: "ssh-policy/src/session_bind.rs",
            find: "signature::verify(&host_key.plain, session.0, signature)?;",
            replace: "let _ = signature::verify(&host_key.plain, session.0, signature);",
        }],
        tests: &["agent::policy::an_invalid_bind_disables_only_its_connection"],
    },
    Mutation {
        promise: 5,
        name: "refused-bind",
        what: "a connection is used on after a bind that was refused",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "self.poisoned = Some(refusal.clone());",
            replace: "self.poisoned = None;",
        }],
        tests: &["agent::policy::an_invalid_bind_disables_only_its_connection"],
    },
    Mutation {
        promise: 5,
        name: "no-bind",
        what: "a login needs no bind",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "                Err(Refusal::NoBind)",
            replace: "                Ok(None)",
        }],
        tests: &["agent::policy::a_login_is_signed_for_the_session_that_its_host_signed"],
    },
    Mutation {
        promise: 5,
        name: "forwarded-login",
        what: "a login through a forwarded agent need not name its host",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "if self.is_forwarded() && login.host_key.is_none() {",
            replace: "if false && self.is_forwarded() && login.host_key.is_none() {",
        }],
        tests: &["agent::policy::through_a_forwarded_agent_the_login_must_name_its_host"],
    },
    Mutation {
        promise: 5,
        name: "forwarding",
        what: "a forwarded agent may always be used",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "if bind.is_forwarding && !policy.forwarding {",
            replace: "if false && bind.is_forwarding && !policy.forwarding {",
        }],
        tests: &["agent::policy::an_invalid_bind_disables_only_its_connection"],
    },
    Mutation {
        promise: 5,
        name: "both-proofs",
        what: "with `--ssh-host-proof both` a login need not name its host",
        edits: &[Edit {
            file: "ssh-policy/src/binds.rs",
            find: "(HostProof::Both, Some(_), None) => Err(Refusal::NoHostbound),",
            replace: "(HostProof::Both, Some(bound), None) => Ok(Some(bound.host.clone())),",
        }],
        tests: &["agent::policy::with_both_proofs_the_login_must_name_the_host_that_is_bound"],
    },
    Mutation {
        promise: 5,
        name: "namespaces",
        what: "SSHSIG is signed in any namespace",
        edits: &[Edit {
            file: "ssh-policy/src/decide.rs",
            find: "if !policy.allows_namespace(signature.namespace) {",
            replace: "if false && !policy.allows_namespace(signature.namespace) {",
        }],
        tests: &["agent::policy::files_and_commits_are_signed_in_allowed_namespaces_only"],
    },
    Mutation {
        promise: 5,
        name: "offered-keys",
        what: "every key of the agent is offered",
        edits: &[Edit {
            file: "ssh-policy/src/policy.rs",
            find: "        self.keys.is_empty()\n",
            replace: "        true || self.keys.is_empty()\n",
        }],
        tests: &["agent::keys::only_the_named_keys_are_offered"],
    },
    Mutation {
        promise: 5,
        name: "other-requests",
        what: "a request that would change the agent is answered like a list",
        edits: &[Edit {
            file: "ssh-policy/src/decide.rs",
            find: "Request::Change(change) => self.refuse(Refusal::ChangesAgent(change)),",
            replace: "Request::Change(_) => Verdict::List,",
        }],
        tests: &["agent::requests::all_but_list_sign_and_bind_requests_are_refused"],
    },
];
