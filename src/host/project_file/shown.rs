//! What a project file asks for, in plain words, for the person who is to allow it.
//!
//! From what was understood, not from what was written: what is shown is what will happen. Nothing is left out or cut;
//! whoever prints an entry escapes it.

use std::fmt::Display;

use bridge_host::{
    AgentSource, AllowFrom, AuditTarget, GitCredentialSource, GitCredentialSpec, SecretSpec, Source,
};
use ssh_policy::HostProof;

use crate::host::settings::Choices;
use crate::host::settings::agent::{AgentChoices, AgentWish};

/// One entry for each thing that is asked for. Taken apart by name, so that nothing new is forgotten here.
pub(crate) fn shown(choices: &Choices) -> Vec<String> {
    let Choices {
        secrets,
        git_credentials,
        agents,
        listen,
        allow_from,
        endpoints,
        timeout,
        max_sessions,
        tls_compat,
        audit,
        scan,
    } = choices;
    let mut lines: Vec<String> = secrets.iter().map(secret).collect();
    if secrets.is_empty() {
        lines.push("give no secret".to_owned());
    }
    lines.extend(git_credentials.iter().flatten().map(git_credential));
    agents_shown(agents, &mut lines);
    lines.push(match listen {
        None => "listen at all addresses, at any free port".to_owned(),
        Some(listen) => format!("listen at {listen}"),
    });
    lines.push(match allow_from {
        None | Some(AllowFrom::Near) => {
            "hear peers from loopback, private, link-local and shared ranges".to_owned()
        }
        Some(AllowFrom::Ranges(ranges)) => format!("hear peers from {}", joined(ranges)),
    });
    if let Some(endpoints) = endpoints {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| endpoint.with_port(0)).collect();
        lines.push(format!("name these endpoints in the conf: {}", joined(&endpoints)));
    }
    match timeout {
        None => {}
        Some(None) => lines.push("not end by itself".to_owned()),
        Some(Some(time)) => lines.push(format!("end after {}", humantime::format_duration(*time))),
    }
    if let Some(sessions) = max_sessions {
        lines.push(format!("admit so many sessions: {sessions}"));
    }
    if *tls_compat {
        lines.push("accept a key exchange without post-quantum security (X25519)".to_owned());
    }
    match audit {
        None | Some(AuditTarget::None) => {}
        Some(AuditTarget::Stderr) => lines.push("write audit records to standard error".to_owned()),
        Some(AuditTarget::File(path)) => {
            lines.push(format!("append audit records to the file {}", path.display()));
        }
    }
    if let Some(image) = scan {
        lines.push(format!("have `run` search the image {}", image.to_string_lossy()));
    }
    lines
}

fn secret(spec: &SecretSpec) -> String {
    let SecretSpec { form, source, max_reads, allow_empty, trim } = spec;
    let from = match source {
        Source::Env(name) => format!("the environment variable {name}"),
        Source::File(path) => format!("the file {}", path.display()),
        Source::Command(command) => format!("the output of this command, which the shell runs: {command}"),
        // A project file has no such sources.
        Source::Literal(_) => "the file itself".to_owned(),
        Source::Stdin => "standard input".to_owned(),
        Source::GitCredentials(_) => "git credentials".to_owned(),
    };
    let mut terms = Vec::new();
    if form.encoding.engine().is_some() {
        terms.push("decoded from base64".to_owned());
    }
    if let Some(reads) = max_reads {
        terms.push(format!("to so many sessions: {reads}"));
    }
    if *allow_empty {
        terms.push("empty, if it is that".to_owned());
    }
    if *trim {
        terms.push("without its last line end".to_owned());
    }
    let terms: String = terms.iter().map(|term| format!(", {term}")).collect();
    format!("give the secret {}{terms}, from {from}", form.key)
}

fn git_credential(spec: &GitCredentialSpec) -> String {
    let GitCredentialSpec { scope, user, source } = spec;
    let user = user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let from = match source {
        GitCredentialSource::Secret(key) => format!("with the secret {key}"),
        GitCredentialSource::Git => "with what this host's git knows (`git credential fill`)".to_owned(),
    };
    format!("let git log in at https://{scope}{user} {from}")
}

fn agents_shown(choices: &AgentChoices, lines: &mut Vec<String>) {
    let AgentChoices {
        agents,
        keys,
        hosts,
        known_hosts,
        host_proof,
        users,
        sshsig_namespaces,
        forwarding,
        max_signatures,
        confirm,
        git_keys,
        sockets,
    } = choices;
    lines.extend(agents.iter().map(agent));
    if !agents.is_empty() {
        lines.push(limited(keys, "SSH: offer these keys only: ", "SSH: offer every key of the agents"));
        lines.push(limited(hosts, "SSH: sign logins to these hosts only: ", "SSH: sign logins to any host"));
        lines.push(limited(users, "SSH: sign logins as these users only: ", "SSH: sign logins as any user"));
        lines.push(match max_signatures {
            Some(most) => format!("SSH: make so many signatures at most: {most}"),
            None => "SSH: make any number of signatures".to_owned(),
        });
        let asked = if *confirm { "a person" } else { "nobody" };
        lines.push(format!("SSH: ask {asked} before a key is used"));
    }
    if let Some(files) = known_hosts {
        let files: Vec<_> = files.iter().map(|path| path.display()).collect();
        lines.push(format!("SSH: know hosts' keys from the files {}", joined(&files)));
    }
    match host_proof {
        None | Some(HostProof::Bind) => {}
        Some(HostProof::BindOrHostbound) => {
            lines.push("SSH: take a hostbound login for a proof of its host too".to_owned());
        }
        Some(HostProof::Both) => lines.push("SSH: demand both proofs of a host".to_owned()),
    }
    if let Some(namespaces) = sshsig_namespaces {
        lines.push(format!("SSH: sign data of these namespaces: {}", joined(namespaces)));
    }
    if *forwarding {
        lines.push("SSH: sign through agents that a build forwards to further hosts".to_owned());
    }
    for (repository, key) in git_keys {
        lines.push(format!("let git use the key {key} for {repository}"));
    }
    for (id, path) in sockets {
        lines.push(format!("offer the SSH agent {id} on this host too, at {}", path.display()));
    }
}

fn agent(wish: &AgentWish) -> String {
    let AgentWish { id, source } = wish;
    match source {
        None => format!("offer the SSH agent {id}: that of SSH_AUTH_SOCK"),
        Some(AgentSource::Socket(path)) => format!("offer the SSH agent {id}: that at {}", path.display()),
        Some(AgentSource::KeyFiles(files)) => {
            let files: Vec<_> = files.iter().map(|path| path.display()).collect();
            format!("offer the SSH agent {id}: the private keys in {}", joined(&files))
        }
    }
}

fn limited(list: &Option<Vec<impl Display>>, to_these: &str, not: &str) -> String {
    match list {
        Some(list) => format!("{to_these}{}", joined(list)),
        None => not.to_owned(),
    }
}

fn joined(items: &[impl Display]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
