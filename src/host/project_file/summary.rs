//! What a project file asks for, in plain words, for the person who is asked to approve it.
//!
//! The source is the parsed settings, not the text of the file: what is shown is what will happen. Nothing is left out or
//! shortened. The entries are not escaped yet.

use std::fmt::Display;

use bridge_host::{
    AgentSource, AllowFrom, AuditTarget, GitCredentialSource, GitCredentialSpec, HttpCredentialSource,
    HttpCredentialSpec, SecretSpec, Source,
};
use http_policy::{Auth, Git, Method, Own, Plain, Scheme};
use ssh_policy::HostProof;

use crate::host::scan::ScanTarget;
use crate::host::settings::Settings;
use crate::host::settings::agent::{AgentSettings, RequestedAgent};

/// One entry for each setting. The structs are destructured, so that a new field cannot be forgotten here.
pub(crate) fn summary(settings: &Settings) -> Vec<String> {
    let Settings {
        secrets,
        git_credentials,
        http,
        agents,
        listen,
        allow_from,
        endpoints,
        timeout,
        max_sessions,
        tls_compat,
        audit,
        scan,
    } = settings;
    let mut lines: Vec<String> = secrets.iter().map(secret).collect();
    if secrets.is_empty() {
        lines.push("offer no secret".to_owned());
    }
    lines.extend(git_credentials.iter().flatten().map(git_credential));
    lines.extend(http.iter().flat_map(http_rule));
    agents_shown(agents, &mut lines);
    lines.push(match listen {
        None => "listen at all addresses, at any free port".to_owned(),
        Some(listen) => format!("listen at {listen}"),
    });
    lines.push(match allow_from {
        None | Some(AllowFrom::Near) => {
            "accept connections from loopback, private, link-local and shared ranges".to_owned()
        }
        Some(AllowFrom::Ranges(ranges)) => format!("accept connections from {}", joined(ranges)),
    });
    if let Some(endpoints) = endpoints {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| endpoint.with_port(0)).collect();
        lines.push(format!("put these endpoints into the conf: {}", joined(&endpoints)));
    }
    match timeout {
        None => {}
        Some(None) => lines.push("run until it is stopped".to_owned()),
        Some(Some(time)) => lines.push(format!("shut down after {}", humantime::format_duration(*time))),
    }
    if let Some(sessions) = max_sessions {
        lines.push(format!("shut down after this number of sessions: {sessions}"));
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
        Some(AuditTarget::Fifo(path)) => {
            lines.push(format!("write audit records to the FIFO {}", path.display()));
        }
    }
    match scan {
        None => {}
        Some(ScanTarget::Image(image)) => lines.push(format!("make `run` search the image {image}")),
        Some(ScanTarget::File(file)) => {
            lines.push(format!("make `run` search the image in the file {}", file.path().display()));
        }
    }
    let http_commands =
        http.iter().any(|spec| matches!(&spec.source, HttpCredentialSource::Own(Source::Command(_))));
    if http_commands || secrets.iter().any(|spec| matches!(spec.source, Source::Command(_))) {
        lines.push("shell commands run in the directory where `run` or `serve` is started".to_owned());
    }
    lines
}

fn secret(spec: &SecretSpec) -> String {
    let SecretSpec { form, source, max_reads, allow_empty, trim } = spec;
    let from = source_shown(source);
    let mut terms = Vec::new();
    if form.encoding.engine().is_some() {
        terms.push("decoded from base64".to_owned());
    }
    if let Some(reads) = max_reads {
        terms.push(format!("to at most this number of sessions: {reads}"));
    }
    if *allow_empty {
        terms.push("even if it is empty".to_owned());
    }
    if *trim {
        terms.push("without its last line end".to_owned());
    }
    let terms: String = terms.iter().map(|term| format!(", {term}")).collect();
    format!("offer the secret {}{terms}, from {from}", form.key)
}

fn source_shown(source: &Source) -> String {
    match source {
        Source::Env(name) => format!("the environment variable {name}"),
        Source::File(file) => format!("the file {}", file.path().display()),
        Source::Command(command) => format!("the output of this shell command: {command}"),
        // A project file has no such sources.
        Source::Literal(_) => "the file itself".to_owned(),
        Source::Stdin => "standard input".to_owned(),
        Source::GitCredentials(_) => "git credentials".to_owned(),
    }
}

fn git_credential(spec: &GitCredentialSpec) -> String {
    let GitCredentialSpec { scope, user, source } = spec;
    let user = user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let from = match source {
        GitCredentialSource::Secret(key) => format!("with the secret {key}"),
        GitCredentialSource::Git => {
            "with the credentials of git on this host (`git credential fill`)".to_owned()
        }
    };
    format!("let git log in at https://{scope}{user} {from}")
}

/// One line for what a rule permits and with which credential, and one for each of its dangers.
fn http_rule(spec: &HttpCredentialSpec) -> Vec<String> {
    let HttpCredentialSpec { rule, source, ca } = spec;
    let mut permitted = Vec::new();
    match rule.git {
        Git::None => {}
        Git::Fetch => permitted.push("git clone and fetch".to_owned()),
        Git::Push => permitted.push("git clone, fetch and push".to_owned()),
    }
    match (rule.lfs, rule.git) {
        (false, _) => {}
        (true, Git::Push) => permitted.push("git LFS downloads and uploads".to_owned()),
        (true, Git::None | Git::Fetch) => permitted.push("git LFS downloads".to_owned()),
    }
    if !rule.methods().is_empty() {
        permitted.push(format!("requests with {}", joined(rule.methods())));
    }
    let credential = match source {
        HttpCredentialSource::Own(source) => source_shown(source),
        HttpCredentialSource::Secret(key) => format!("the secret {key}, which builds can read too"),
    };
    let added_as = match rule.auth() {
        Auth::Bearer => "as Bearer token".to_owned(),
        Auth::Basic(Some(user)) => format!("as password of the user {user}"),
        Auth::Basic(None) => "as USER:PASSWORD".to_owned(),
        Auth::Header(name) => format!("in the header field {name}"),
    };
    let mut lines = vec![format!(
        "HTTP {rule}: permit {}, and add a credential {added_as}, from {credential}",
        permitted.join(", ")
    )];
    let mut also = |text: String| lines.push(format!("HTTP {rule}: {text}"));
    if rule.git == Git::Push {
        also("WRITES: builds may push to the repositories".to_owned());
    }
    if rule.methods().iter().any(|method| !matches!(method, Method::Get | Method::Head | Method::Options)) {
        also("WRITES: builds may change what the server has".to_owned());
    }
    match rule.scheme {
        Scheme::Https => {}
        Scheme::Http => also("UNENCRYPTED: the credential goes to the server over plain http".to_owned()),
    }
    match rule.own {
        Own::Replace => {}
        Own::Keep => {
            also("a request with an Authorization of its own keeps it, and gets no credential".to_owned())
        }
    }
    match rule.plain {
        Plain::Refuse => {}
        Plain::Pass => {
            also("plain http:// requests to the host go out of the build, without a credential".to_owned())
        }
    }
    if let Some(file) = ca {
        also(format!("trust the CAs in the file {} instead of those of the system", file.path().display()));
    }
    if let HttpCredentialSource::Own(Source::Command(_)) = source {
        also("RUNS A COMMAND when a build first needs the credential".to_owned());
    }
    lines
}

fn agents_shown(settings: &AgentSettings, lines: &mut Vec<String>) {
    let AgentSettings {
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
    } = settings;
    lines.extend(agents.iter().map(agent));
    if !agents.is_empty() {
        lines.push(limited(keys, "SSH: offer these keys only: ", "SSH: offer every key of the agents"));
        lines.push(limited(hosts, "SSH: sign logins to these hosts only: ", "SSH: sign logins to any host"));
        lines.push(limited(users, "SSH: sign logins as these users only: ", "SSH: sign logins as any user"));
        lines.push(match max_signatures {
            Some(most) => format!("SSH: allow at most this number of signatures: {most}"),
            None => "SSH: allow any number of signatures".to_owned(),
        });
        let use_of_keys = if *confirm {
            "SSH: ask a person before each use of a key"
        } else {
            "SSH: use keys without asking"
        };
        lines.push(use_of_keys.to_owned());
    }
    if let Some(files) = known_hosts {
        let files: Vec<_> = files.iter().map(|file| file.path().display()).collect();
        lines.push(format!("SSH: read host keys from the files {}", joined(&files)));
    }
    match host_proof {
        None | Some(HostProof::Bind) => {}
        Some(HostProof::BindOrHostbound) => {
            lines.push("SSH: accept a hostbound login as a proof of the host too".to_owned());
        }
        Some(HostProof::Both) => lines.push("SSH: require both proofs of the host".to_owned()),
    }
    if let Some(namespaces) = sshsig_namespaces {
        lines.push(format!("SSH: sign data of these namespaces: {}", joined(namespaces)));
    }
    if *forwarding {
        lines.push("SSH: sign through agents that a build forwards to further hosts".to_owned());
    }
    for (repository, key) in git_keys {
        lines.push(format!("make git use the key {key} for {repository}"));
    }
    for (id, path) in sockets {
        lines.push(format!("offer the SSH agent {id} on this host too, at {}", path.display()));
    }
}

fn agent(agent: &RequestedAgent) -> String {
    let RequestedAgent { id, source } = agent;
    match source {
        None => format!("offer the SSH agent {id}: the one of SSH_AUTH_SOCK"),
        Some(AgentSource::Socket(socket)) => {
            format!("offer the SSH agent {id}: the one at {}", socket.path().display())
        }
        Some(AgentSource::KeyFiles(files)) => {
            let files: Vec<_> = files.iter().map(|file| file.path().display()).collect();
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
